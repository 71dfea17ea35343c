"""What the reader of a format returns: classes, and images with what annotates them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

# Stands for a class in an annotation: these pixels are ignored.
IGNORE = None
# Stands for no class in an annotation: these pixels are not annotated.
EMPTY = ""
# The label of each class in a mask, of `IGNORE` and `EMPTY` as well; None for what is
# left out.
Labels = Mapping[str | None, int | None]


class Annotation(Protocol):
    """The annotation of one image."""

    size: tuple[int, int] | None
    """Width and height that it is for; None if it fits every size."""

    def draw(self, size: tuple[int, int], labels: Labels, empty: int) -> np.ndarray:
        """Draws the mask.

        Args:
            size: Width and height, as in `size` if that is not None.
            labels: The label of each class in the mask.
            empty: Label of pixels without annotation.

        Returns:
            Integers of shape `(height, width)`.
        """


@dataclasses.dataclass(frozen=True)
class Item:
    """An annotated image.

    Attributes:
        image: String, a file of the source, or a function that returns the bytes of an image.
        annotation: An `Annotation`.
        name: Path that gives the image its name, by default the file of the image.
        split: The split that the export puts it in, or None.
    """

    image: str | Callable[[], bytes]
    annotation: Any  # an `Annotation`
    name: str = ""
    split: str | None = None

    @property
    def source(self) -> str:
        """The path that names the image."""
        return self.name or str(self.image)


@dataclasses.dataclass(frozen=True)
class Export:
    """The contents of an export.

    Attributes:
        class_names: List of strings, in the order of the labels.
        items: List of `Item`.
        background: Name of the class of pixels without annotation; None if they are ignored.
        aliases: Dict from other names by which options may refer to classes, such as `"7"`, to
            class names; to None for what is ignored already.
        unnamed: Dict from class names that stand for an id or a color without a name, to a
            sentence on where they occur.
        unnamed_remedy: How to name these.
        notes: Sentences for the report.
    """

    class_names: list[str]
    items: list[Item]
    background: str | None = None
    aliases: dict[str, str | None] = dataclasses.field(default_factory=dict)
    unnamed: dict[str, str] = dataclasses.field(default_factory=dict)
    unnamed_remedy: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Hints:
    """What a format cannot state, as options.

    Attributes:
        classes: Text file of class names, one per line, or None.
        colors: File that lists colors and class names, or None.
        images: Folder of the images inside the source, or None.
        masks: Folder of the masks inside the source, or None.
        background: Whether the user has said what pixels without annotation are.
        color_tolerance: Integer, the largest difference per channel to a listed color.
    """

    classes: str | None = None
    colors: str | None = None
    images: str | None = None
    masks: str | None = None
    background: bool = False
    color_tolerance: int = 0

    def __post_init__(self):
        if not 0 <= self.color_tolerance <= 255:
            raise ValueError(
                "`--color-tolerance` must be from 0 to 255. "
                f"Received: color_tolerance={self.color_tolerance}"
            )
