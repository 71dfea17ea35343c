"""Labelme: a JSON file per image with polygons, circles, rectangles and bitmaps.

Later shapes cover earlier ones. The label `__ignore__` is ignored, `_background_` is the
background. Lines and points have no area and are left out. The class names are in the order of
`labels.txt` or `class_names.txt`, if there is one; those that it lacks follow, sorted.

References:
    - [Labelme](https://github.com/wkentaro/labelme)
"""

import base64
import functools
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from training.importing.classes import BACKGROUND
from training.importing.export import IGNORE, Export, Hints, Item
from training.importing.images import open_image
from training.importing.lists import read_names
from training.importing.names import normalized, split_in
from training.importing.shapes import Bitmap, Drawn, Shapes, circle, polygon
from training.importing.source import Source

_LISTS = ("labels.txt", "class_names.txt", "classes.txt")
_IGNORED = "__ignore__"
_BACKGROUND = "_background_"
_LARGEST = 1e6  # coordinates of circles and rectangles beyond this are mistakes


def detect(source: Source) -> bool:
    """Returns whether a JSON file has the keys of Labelme."""
    return any(map(_is_labelme, source.sample().values()))


def _is_labelme(content):
    return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()


def read(source: Source, hints: Hints) -> Export:
    """Reads every Labelme file of the source."""
    items = []
    for file in source.with_suffix(".json"):
        with source.skipping(file):
            content = source.json(file)
            if not _is_labelme(content):
                raise ValueError("the file is not a Labelme file")
            items.append(_item(source, file, content))
    listed = [name for name in read_names(source, hints, _LISTS) if name != _IGNORED]
    used = {shape.name for item in items for shape in item.annotation.shapes} - {IGNORE}
    names = list(dict.fromkeys([*listed, *sorted(used)]))
    return Export(names, items, background=_BACKGROUND if _BACKGROUND in names else BACKGROUND)


def _item(source, file, content) -> Item:
    image = _image(source, file, content)
    shapes = []
    for number, shape in enumerate(content["shapes"]):
        with source.skipping(f"{file}: shape {number} ({shape['label']})"):
            shapes.append(_shape(shape))
    name = image if isinstance(image, str) else file
    return Item(image, Shapes(shapes, _size(content)), name, split_in(name))


def _image(source, file, content):
    """Returns the file of the image or, if there is none, a function that reads the JSON file's."""
    path = str(content.get("imagePath") or "")
    try:
        return source.find_image(path or PurePosixPath(file).stem, near=file)
    except ValueError:
        if content.get("imageData"):
            return functools.partial(_embedded_image, source, file)
        raise


def _embedded_image(source, file):
    """Returns the image in a JSON file; all of an export at once might not fit in memory."""
    return base64.b64decode(source.json(file)["imageData"])


def _size(content):
    width, height = content.get("imageWidth"), content.get("imageHeight")
    return (int(width), int(height)) if width and height else None


def _shape(shape: dict[str, Any]) -> Any:
    """Returns a shape by its type."""
    label = normalized(shape["label"])
    name = IGNORE if label == _IGNORED else label
    kind = shape.get("shape_type") or "polygon"
    if kind in ("polygon", "oriented_rectangle"):
        return Drawn(name, "polygon", polygon(shape["points"]))
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"a {kind} has no area")
    points = np.array(shape["points"], "float64").reshape(-1, 2)
    if len(points) != 2 or not (np.abs(points) <= _LARGEST).all():
        raise ValueError(f"a {kind} must have two finite points")
    if kind == "circle":
        return circle(name, *points.tolist())
    corners = np.stack([points.min(0), points.max(0)])
    if kind == "rectangle":
        return Drawn(name, "rectangle", corners)
    return _bitmap(name, corners, shape["mask"])


def _bitmap(name, corners, encoded):
    """Returns a shape given by an encoded image; whole corners also crop it, as in Labelme."""
    with open_image(base64.b64decode(encoded)) as image:
        pixels = np.asarray(image.convert("L")) > 0
    (left, top), (right, bottom) = np.rint(corners).astype(int).tolist()
    if (corners == np.rint(corners)).all():
        pixels = pixels[: bottom - top + 1, : right - left + 1]
    return Bitmap(name, left, top, pixels)
