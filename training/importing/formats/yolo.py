"""YOLO: a text file per image; each line has the number of a class and a polygon.

Coordinates are shares of width and height. Objects have no order in depth, so where they overlap,
the smaller one is on top, as in Ultralytics' own masks. A line with a box but without a polygon
leaves the pixels in the box ignored. An image without a text file has no object.

References:
    - [Ultralytics, Instance segmentation data sets](https://docs.ultralytics.com/datasets/segment/)
"""

import math
from pathlib import PurePosixPath

import yaml

from training.importing.classes import BACKGROUND
from training.importing.export import Export, Hints, Item
from training.importing.lists import NAME_LISTS, listed_splits, read_ids
from training.importing.names import divide, normalized, pair, split_in
from training.importing.shapes import Polygons, Shapes, box, note_boxes, polygon
from training.importing.source import Source
from training.input.words import SPLITS

# Coordinates beyond this many sizes of the image are in pixels.
_LARGEST = 10


def detect(source: Source) -> bool:
    """Returns whether text files next to images hold boxes or polygons."""
    annotations = _annotations(source)
    return any(_is_annotation(source.text(file)) for file in annotations[:20])


def _annotations(source):
    """Returns the text files that belong to an image, by name."""
    return [file for file in _pairs(source).values() if PurePosixPath(file).name not in NAME_LISTS]


def _pairs(source):
    images, _ = divide(source.images)
    return pair(images, source.with_suffix(".txt"))


def _is_annotation(text):
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return bool(lines) and all(len(line) >= 5 and _numbers(line) for line in lines)


def _numbers(fields):
    try:
        return [float(field) for field in fields]
    except ValueError:
        return []


def read(source: Source, hints: Hints) -> Export:
    """Reads every text file of the source that belongs to an image."""
    configuration = _configuration(source)
    names = _names(source, hints, configuration)
    lists = {
        PurePosixPath(str(path)).name: SPLITS[key]
        for key, path in configuration.items()
        if key in SPLITS and str(path).endswith(".txt")
    }
    pairs, listed = _pairs(source), listed_splits(source, lists)
    items, classes = [], set()
    for image in divide(source.images)[0]:
        shapes = []
        file = pairs.get(image, "")
        for number, line in enumerate(source.text(file).splitlines() if file else (), 1):
            if line.strip():
                with source.skipping(f"{file}: line {number}"):
                    index, shape = _shape(line.split(), names)
                    classes.add(index)
                    shapes.append(shape)
        split = listed.get(image) or split_in(image)
        items.append(Item(image, Shapes(shapes, smallest_on_top=True), split=split))
    _skip_unpaired(source, pairs)
    without = len(items) - len(pairs)
    return Export(
        [name for _, name in sorted(names.items())]
        or [f"class {index}" for index in sorted(classes)],
        items,
        background=BACKGROUND,
        notes=note_boxes(items)
        + ([f"{without} images have no text file, that is, no object."] if without else []),
    )


def _skip_unpaired(source, pairs):
    for file in source.with_suffix(".txt"):
        if file not in pairs.values() and _is_annotation(source.text(file)):
            source.skip(file, "there is no image for the annotation")


def _configuration(source):
    """Returns the contents of the first YAML file that has names."""
    for file in source.with_suffix(".yaml", ".yml"):
        with source.skipping(file):
            try:
                found = yaml.safe_load(source.text(file))
            except yaml.YAMLError as error:
                raise ValueError(f"the file is not valid YAML ({error})") from error
            if isinstance(found, dict) and found.get("names"):
                return found
    return {}


def _names(source, hints, configuration) -> dict[int, str]:
    names = configuration.get("names") if hints.classes is None else None
    names = names or read_ids(source, hints)
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return {int(index): normalized(name) for index, name in pairs}


def _shape(fields, names):
    """Returns the class of a line, and its shape."""
    numbers = _numbers(fields)
    if len(numbers) < 5 or not numbers[0].is_integer():
        raise ValueError("the line has no class and polygon")
    index, coordinates = int(numbers[0]), numbers[1:]
    if names and index not in names:
        raise ValueError(f"the class {index} has no name")
    if not all(math.isfinite(x) and abs(x) <= _LARGEST for x in coordinates):
        raise ValueError("the coordinates are not shares of width and height")
    name = names.get(index, f"class {index}")
    if len(coordinates) == 4:
        x, y, width, height = coordinates
        left, top = x - width / 2, y - height / 2
        return index, box(left, top, width, height, relative=True)
    return index, Polygons(name, [polygon(coordinates)], relative=True)
