"""Outlines of objects, and the masks they make.

Formats of outlines are drawn by the library that their tool uses: those of COCO and YOLO by
pycocotools, those of Labelme and Cityscapes by Pillow.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_masks

from training.importing.export import IGNORE, Item, Labels

# Coordinates further outside than this many sizes of the image are cut off, exactly.
_MARGIN = 2


class Shape(Protocol):
    """An object of one class in an image."""

    name: str | None
    """The class, or `IGNORE`."""

    def paint(self, canvas: Image.Image, label: int) -> None:
        """Sets the pixels of the object to a label; the canvas has the mode `"I"`."""


@dataclasses.dataclass(frozen=True)
class Shapes:
    """The annotation of an image by shapes; later ones cover earlier ones.

    Attributes:
        shapes: Sequence of `Shape`.
        size: Width and height, or None.
        smallest_on_top: Whether the shapes have no order in depth, so that smaller ones cover
            larger ones.
    """

    shapes: Sequence[Any]
    size: tuple[int, int] | None = None
    smallest_on_top: bool = False

    def draw(self, size: tuple[int, int], labels: Labels, empty: int) -> np.ndarray:
        """Draws the mask, see `training.importing.export.Annotation`."""
        canvas = Image.new("I", size, empty)
        shapes = [shape for shape in self.shapes if labels[shape.name] is not None]
        if self.smallest_on_top:
            shapes = [shape.placed(size) for shape in shapes]
            shapes.sort(key=lambda shape: (not shape.crowd, -shape.area))
        for shape in shapes:
            label = labels[shape.name]
            assert label is not None
            shape.paint(canvas, label)
        return np.asarray(canvas)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A shape that Pillow draws.

    Attributes:
        name: The class, or `IGNORE`.
        kind: String, the method of `PIL.ImageDraw.ImageDraw`: polygon, rectangle or ellipse.
        points: Floats of shape `(points, 2)`: x and y.
    """

    name: str | None
    kind: str
    points: np.ndarray

    def paint(self, canvas: Image.Image, label: int) -> None:
        """Sets the pixels of the object to a label."""
        points = _bounded(self.points, canvas.size) if self.kind == "polygon" else self.points
        if len(points) >= 2:
            draw: Callable[..., None] = getattr(ImageDraw.Draw(canvas), self.kind)
            draw([tuple(point) for point in points.tolist()], fill=label, outline=label)


@dataclasses.dataclass(frozen=True)
class Bitmap:
    """A shape given pixel by pixel.

    Attributes:
        name: The class, or `IGNORE`.
        left: Integer, the first column.
        top: Integer, the first row.
        pixels: Booleans of shape `(height, width)`.
    """

    name: str | None
    left: int
    top: int
    pixels: np.ndarray

    def paint(self, canvas: Image.Image, label: int) -> None:
        """Sets the pixels of the object to a label; Pillow clips them to the canvas."""
        canvas.paste(label, (self.left, self.top), Image.fromarray(self.pixels))


@dataclasses.dataclass(frozen=True)
class Placed:
    """A run-length encoded shape in a window of an image."""

    name: str | None
    left: int
    top: int
    code: dict[str, Any]
    crowd: bool

    @property
    def area(self) -> int:
        """The number of pixels."""
        return int(coco_masks.area(self.code))

    def paint(self, canvas: Image.Image, label: int) -> None:
        """Sets the pixels of the object to a label."""
        pixels = coco_masks.decode(self.code).astype(bool)
        Bitmap(self.name, self.left, self.top, pixels).paint(canvas, label)


@dataclasses.dataclass(frozen=True)
class Runs:
    """A shape in COCO's run-length encoding of the whole image.

    Attributes:
        name: The class, or `IGNORE`.
        code: Dict with `size`, height and width, and `counts`, bytes.
        crowd: Whether it encloses a crowd of objects.
    """

    name: str | None
    code: dict[str, Any]
    crowd: bool = False

    def placed(self, size: tuple[int, int]) -> Placed:
        """Returns the shape for an image."""
        return Placed(self.name, 0, 0, self.code, self.crowd)


@dataclasses.dataclass(frozen=True)
class Polygons:
    """An object of one or several polygons, which pycocotools draws.

    Attributes:
        name: The class, or `IGNORE`.
        polygons: Sequence of floats of shape `(points, 2)`: x and y.
        crowd: Whether it encloses a crowd of objects.
        relative: Whether coordinates are shares of width and height.
    """

    name: str | None
    polygons: Sequence[np.ndarray]
    crowd: bool = False
    relative: bool = False

    def placed(self, size: tuple[int, int]) -> Placed:
        """Returns the shape for an image. Only the window that contains it is drawn."""
        scale = np.array(size if self.relative else (1, 1))
        polygons = [_bounded(polygon * scale, size) for polygon in self.polygons]
        polygons = [polygon for polygon in polygons if len(polygon) > 2]
        every = np.concatenate(polygons or [np.zeros((1, 2))])
        left, top = np.clip(np.floor(every.min(0)) - 1, 0, None).astype(int).tolist()
        right, bottom = np.clip(np.ceil(every.max(0)) + 2, 1, size).astype(int).tolist()
        left, top = min(left, right - 1), min(top, bottom - 1)
        height, width = bottom - top, right - left
        if polygons:
            shifted = [(polygon - (left, top)).ravel().tolist() for polygon in polygons]
            code = coco_masks.merge(coco_masks.frPyObjects(shifted, height, width))
        else:
            code = coco_masks.encode(np.zeros((height, width), "uint8", order="F"))
        return Placed(self.name, left, top, code, self.crowd)


def box(left: float, top: float, width: float, height: float, **more: Any) -> Polygons:
    """Returns the box of an object without an outline, whose pixels are ignored."""
    x, y = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])
    return Polygons(IGNORE, [np.stack([left + x * width, top + y * height], -1)], **more)


def note_boxes(items: Iterable[Item]) -> list[str]:
    """Returns a note on the objects without an outline, if there are any."""
    shapes = [shape for item in items for shape in item.annotation.shapes]
    boxes = sum(shape.name is IGNORE for shape in shapes)
    note = (
        f"{boxes} of {len(shapes)} objects have a box but no outline; the pixels in the box are "
        "ignored."
    )
    return [note] if boxes else []


def polygon(coordinates: Sequence[Any]) -> np.ndarray:
    """Checks the coordinates of a polygon.

    Args:
        coordinates: Numbers `x1, y1, x2, y2, ...`, or pairs of them.

    Returns:
        Floats of shape `(points, 2)`.

    Raises:
        ValueError: If they are not finite numbers, in pairs, of at least three points.
    """
    try:
        points = np.array(coordinates, "float64").reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"a polygon has no pairs of numbers ({error})") from error
    if len(points) < 3:
        raise ValueError(f"a polygon has {len(points)} points, fewer than 3")
    if not np.isfinite(points).all():
        raise ValueError("a polygon has coordinates that are not finite")
    return points


def _bounded(points, size):
    """Cuts a polygon to a window around the image, if it reaches far beyond it.

    The time to draw a polygon grows with its length; inside the image, the result is the same.
    """
    low, high = -_MARGIN * np.array(size), (1 + _MARGIN) * np.array(size)
    if (points >= low).all() and (points <= high).all():
        return points
    for axis in (0, 1):
        for bound, sign in ((low[axis], 1), (high[axis], -1)):
            points = _cut(points, axis, bound, sign)
    return points


def _cut(points, axis, bound, sign):
    """Cuts a polygon to a half plane (Sutherland and Hodgman)."""
    kept: list[np.ndarray] = []
    inside = sign * (points[:, axis] - bound) >= 0
    for i in range(len(points)):
        before, here = points[i - 1], points[i]
        if inside[i] != inside[i - 1]:
            share = (bound - before[axis]) / (here[axis] - before[axis])
            crossing = before + share * (here - before)
            crossing[axis] = bound
            kept.append(crossing)
        if inside[i]:
            kept.append(here)
    return np.array(kept).reshape(-1, 2)


def circle(name: str | None, center: Sequence[float], edge: Sequence[float]) -> Drawn:
    """Returns a circle through a point, as an ellipse."""
    radius = math.dist(center, edge)
    x, y = center
    return Drawn(
        name, "ellipse", np.array([[x - radius, y - radius], [x + radius, y + radius]], "float64")
    )
