"""The folder data set: images and masks are files; splits and classes are lists.

    images/<stem>.jpg        or .jpeg, .png, .bmp
    labels/<stem>.png        one channel or a palette; each pixel is a class id or an ignored label
    train.txt, val.txt, ...  the stems of a split, one per line
    classes.txt              class names, one per line; the first has id 0

A stem may contain folders: `city/0001` means `images/city/0001.jpg` and `labels/city/0001.png`.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
MASK_SUFFIXES = (".png",)
# The ignored label in the masks of the data sets that `training.datasets` writes.
IGNORED = 255


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one split. All of its files exist.

    Attributes:
        root: Path of the data set.
        name: String, such as `"train"` or `"train+val"`.
        stems: Tuple of strings, the names of the images, in the order of the lists.
        image_paths: Tuple of paths, one per stem.
        mask_paths: Tuple of paths, one per stem.
        class_names: Tuple of strings. The index of a name is the id of its class.
        label_map: Tuple of pairs, a label in the masks and the one that replaces it.
    """

    root: Path
    name: str
    stems: tuple[str, ...]
    image_paths: tuple[Path, ...]
    mask_paths: tuple[Path, ...]
    class_names: tuple[str, ...]
    label_map: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.stems)

    def without(self, stems: Iterable[str]) -> Split:
        """Returns the split without some of its images.

        Args:
            stems: Strings, the images to leave out.

        Raises:
            ValueError: If the split lacks one of the stems, or if no image would be left.
        """
        dropped = set(stems)
        unknown = sorted(dropped - set(self.stems))
        if unknown:
            raise ValueError(
                f"`stems` must be images of the split {self.name!r}. "
                f"Received: stems={summarize(unknown)}"
            )
        kept = [
            row
            for row in zip(self.stems, self.image_paths, self.mask_paths, strict=True)
            if row[0] not in dropped
        ]
        if not kept:
            raise ValueError(
                f"No image of the split {self.name!r} would be left. "
                f"Received: stems={summarize(stems)}"
            )
        stems, image_paths, mask_paths = zip(*kept, strict=True)
        return dataclasses.replace(
            self, stems=stems, image_paths=image_paths, mask_paths=mask_paths
        )


def read_split(root: str | os.PathLike, split: str, map_labels: Sequence[str] = ()) -> Split:
    """Reads the lists of a folder data set and finds the files of one split.

    Args:
        root: Path of the data set.
        split: String, the name of a list without its `.txt`, or several joined by a plus:
            `"train+val"`.
        map_labels: Strings, labels in the masks and those that replace them, such as `"255:1"`.

    Returns:
        A `Split`.

    Raises:
        FileNotFoundError: If the folder, one of its lists, an image or a mask is missing.
        ValueError: If a list is empty or repeats a name, if there are fewer than two classes, or
            if two images have the same stem.
    """
    root = Path(root)
    class_names = read_classes(root)
    stems = []
    for name in split.split("+"):
        if name not in split_names(root):
            raise FileNotFoundError(
                f"The data set {root} has no split {name!r}. Write the stems of its images to "
                f"`{name}.txt`, one per line, or choose one of these splits: "
                f"{summarize(split_names(root)) or 'none'}. Received: split={split!r}"
            )
        found = [line for line in _lines(root / f"{name}.txt") if line]
        if not found:
            raise ValueError(
                f"{root / name}.txt is empty. Write the stems of the split to it, one per line. "
                f"Received: split={split!r}"
            )
        stems += found
    if repeated := _repeated(stems):
        raise ValueError(
            "A split may contain an image only once. Remove the repetitions of "
            f"{summarize(repeated)}. Received: split={split!r}"
        )
    return Split(
        root=root,
        name=split,
        stems=tuple(stems),
        image_paths=_find(root / "images", stems, IMAGE_SUFFIXES, split),
        mask_paths=_find(root / "labels", stems, MASK_SUFFIXES, split),
        class_names=class_names,
        label_map=tuple(map(_label_pair, map_labels)),
    )


def read_classes(root: str | os.PathLike) -> tuple[str, ...]:
    """Reads the class names of a folder data set."""
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"The data folder does not exist. Received: root={str(root)!r}")
    path = root / "classes.txt"
    if not path.is_file():
        raise FileNotFoundError(
            "A folder data set needs a `classes.txt` with the names of its classes, one per line; "
            f"the first has id 0. Received: root={str(root)!r}"
        )
    names = _lines(path)
    # An empty line between two names cannot be skipped: that would shift the ids of the names
    # after it.
    if len(names) < 2 or not all(names) or _repeated(names):
        raise ValueError(
            f"{path} must contain at least two names, one per line, without empty lines or "
            f"repetitions. Received: names={names}"
        )
    return tuple(names)


def split_names(root: str | os.PathLike) -> list[str]:
    """Returns the names of the splits of a folder data set, sorted."""
    return sorted(path.stem for path in Path(root).glob("*.txt") if path.stem != "classes")


def summarize(names: Iterable[str], limit: int = 10) -> str:
    """Joins names for an error message: the first ten, then the number of others."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _label_pair(text):
    label, separator, replacement = text.partition(":")
    if not (separator and label.isdecimal() and replacement.isdecimal()):
        raise ValueError(
            "`map_labels` must hold a label, a colon, and the label that replaces it, such as "
            f"`255:1`. Received: map_labels={text!r}"
        )
    return int(label), int(replacement)


def _lines(path):
    # Editors on Windows may write a byte order mark, which `utf-8-sig` drops.
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"A list must be a text file in UTF-8: {error}. Save it again in this encoding. "
            f"Received: {str(path)!r}"
        ) from error
    return [line.strip() for line in text.splitlines()]


def _repeated(names):
    return [name for name, count in collections.Counter(names).items() if count > 1]


def _find(folder, stems, suffixes, split):
    """Finds the one file of each stem; lists each folder only once, however many stems it has."""
    found = collections.defaultdict(list)
    for parent in {(folder / stem).parent for stem in stems}:
        for path in parent.iterdir() if parent.is_dir() else ():
            if path.suffix.lower() in suffixes:
                found[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    missing = [stem for stem in stems if stem not in found]
    if missing:
        raise FileNotFoundError(
            f"No file `{folder.name}/<stem>` with the suffix {' or '.join(suffixes)} for "
            f"{len(missing)} of {len(stems)} stems: {summarize(missing)}. Add the files, or remove "
            f"the stems from the list of the split. Received: split={split!r} of {folder.parent}"
        )
    ambiguous = [stem for stem in stems if len(found[stem]) > 1]
    if ambiguous:
        raise ValueError(
            f"Several files in `{folder.name}` have the same stem; keep one of each: "
            f"{summarize(ambiguous)}. Received: split={split!r} of {folder.parent}"
        )
    return tuple(found[stem][0] for stem in stems)
