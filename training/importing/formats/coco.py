"""COCO: JSON files that list images, categories, and annotations of single objects.

Objects have no order in depth, so where they overlap, the smaller one is on top, as in Ultralytics'
conversion of instances to one mask; crowd regions are below all others. An object with a box but
without an outline leaves the pixels in its box ignored.

References:
    - [COCO data format](https://cocodataset.org/#format-data)
"""

import collections
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from pycocotools import mask as coco_masks

from training.importing.classes import BACKGROUND
from training.importing.export import Export, Hints, Item
from training.importing.names import normalized, split_in
from training.importing.shapes import Polygons, Runs, Shapes, box, note_boxes, polygon
from training.importing.source import Source

_KEYS = {"images", "annotations", "categories"}


def detect(source: Source) -> bool:
    """Returns whether a JSON file has the keys of COCO."""
    return any(map(_is_coco, source.sample().values()))


def _is_coco(content):
    return isinstance(content, dict) and content.keys() >= _KEYS


def read(source: Source, hints: Hints) -> Export:
    """Reads every COCO file of the source."""
    names: list[str] = []
    items: list[Item] = []
    for file in _files(source):
        with source.skipping(file):
            content = source.json(file)
            if not _is_coco(content):
                raise ValueError("the file is not a COCO file")
            items += _read_file(source, file, content, names)
    return Export(names, items, background=BACKGROUND, notes=note_boxes(items))


def _files(source):
    """Returns the annotation files; next to those of instances, others repeat the same images."""
    files = source.with_suffix(".json")
    instances = [f for f in files if PurePosixPath(f).name.startswith("instances")]
    for file in sorted(set(files) - set(instances)) if instances else ():
        source.skip(file, "only the files `instances*.json` are read")
    return instances or files


def _read_file(source, file, content, names) -> Iterator[Item]:
    """Yields the items of one file; adds its categories to the names."""
    categories = {
        category["id"]: normalized(category["name"])
        for category in sorted(content["categories"], key=lambda category: category["id"])
    }
    names += [name for name in dict.fromkeys(categories.values()) if name not in names]
    images = {image["id"]: image for image in content["images"]}
    annotations = collections.defaultdict(list)
    for place, annotation in enumerate(content["annotations"]):
        with source.skipping(f"{file}: annotation {place}"):
            number = annotation.get("image_id")
            if number not in images:
                raise ValueError(f"there is no image with the id {number!r}")
            annotations[number].append((place, annotation))
    for number, image in images.items():
        name = str(image.get("file_name", number))
        with source.skipping(f"{file}: image {name}"):
            size = (int(image["width"]), int(image["height"]))
            found = source.find_image(name, near=file)
            shapes = []
            for place, annotation in annotations[number]:
                with source.skipping(f"{file}: annotation {place}"):
                    shapes.append(_shape(annotation, size, categories))
            split = split_in(file, file_name=True) or split_in(found)
            yield Item(found, Shapes(shapes, size, smallest_on_top=True), split=split)


def _shape(annotation: dict[str, Any], size: tuple[int, int], categories: dict[Any, str]) -> Any:
    """Returns the shape of an annotation."""
    if "segments_info" in annotation:
        raise ValueError("panoptic annotations are not supported; export instances")
    category = annotation["category_id"]
    if category not in categories:
        raise ValueError(f"there is no category with the id {category!r}")
    name, crowd = categories[category], bool(annotation.get("iscrowd"))
    outline = annotation.get("segmentation")
    if isinstance(outline, dict):
        return Runs(name, _runs(outline, size), crowd)
    if outline:
        nested = outline if isinstance(outline[0], list | tuple) else [outline]
        return Polygons(name, [polygon(coordinates) for coordinates in nested], crowd)
    if annotation.get("bbox"):
        left, top, width, height = map(float, annotation["bbox"])
        return box(left, top, width, height, crowd=crowd)
    raise ValueError("it has neither an outline nor a box")


def _runs(code: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Returns a run-length code as pycocotools takes it, which does not check the runs itself."""
    width, height = size
    if list(code["size"]) != [height, width]:
        raise ValueError(f"the size of the run-length code is {code['size']}, of the image {size}")
    counts = code["counts"]
    runs = counts if isinstance(counts, list) else _decompressed(counts)
    if any(not isinstance(run, int) or run < 0 for run in runs) or sum(runs) != width * height:
        raise ValueError("the run-length code does not cover the image")
    return coco_masks.frPyObjects({"size": [height, width], "counts": runs}, height, width)


def _decompressed(text: str) -> list[int]:
    """Returns the runs of a compressed code: five bits a character, differences from the third."""
    runs: list[int] = []
    value = shift = 0
    for character in str(text).encode("ascii"):
        digit = character - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError("the run-length code is damaged")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the run-length code is damaged")
    return runs
