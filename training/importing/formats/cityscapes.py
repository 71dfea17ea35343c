"""Cityscapes: a file `*_polygons.json` per image, with labeled polygons of every region.

Later polygons cover earlier ones. Pixels without a polygon are ignored, and so are the labels that
Cityscapes does not evaluate. Labels of groups, such as "cargroup", count as their objects. Data
sets of this format with other labels have these as classes, sorted.

References:
    - [cityscapesScripts](https://github.com/mcordts/cityscapesScripts)
"""

import re

from keras_encnet.labels import CITYSCAPES
from training.importing.export import EMPTY, IGNORE, Export, Hints, Item
from training.importing.names import normalized, pair, split_in
from training.importing.shapes import Drawn, Shapes, polygon
from training.importing.source import Source

# Labels of no region of the scene, in data sets with other labels as well.
_NOTHING = {"unlabeled", "out of roi", "ego vehicle", "rectification border"}
_NOT_EVALUATED = _NOTHING | {
    *("static", "dynamic", "ground", "parking", "rail track", "guard rail", "bridge", "tunnel"),
    *("polegroup", "caravan", "trailer"),
}
_NOT_DRAWN = "license plate"  # as in cityscapesScripts: the car remains below it


def detect(source: Source) -> bool:
    """Returns whether a JSON file has the keys of Cityscapes."""
    return any(map(_is_cityscapes, source.sample().values()))


def _is_cityscapes(content):
    return isinstance(content, dict) and {"imgHeight", "imgWidth", "objects"} <= content.keys()


def read(source: Source, hints: Hints) -> Export:
    """Reads every file of polygons of the source."""
    files = list(source.with_suffix(".json"))
    fine = [file for file in files if "gtFine" in file]
    for file in [file for file in files if fine and "gtCoarse" in file]:
        source.skip(file, "the fine annotations are read")
    files = [file for file in files if not (fine and "gtCoarse" in file)]
    # The annotation of `..._leftImg8bit.png` is `..._gtFine_polygons.json`.
    images = {file: image for image, file in pair(source.images, files).items()}
    found = []
    for file in files:
        with source.skipping(file):
            content = source.json(file)
            if not _is_cityscapes(content):
                raise ValueError("the file is not a Cityscapes file")
            if file not in images:
                raise ValueError("there is no image for the annotation")
            size = (int(content["imgWidth"]), int(content["imgHeight"]))
            found.append((file, size, list(_objects(source, file, content))))
    names = _names({label for _, _, objects in found for label, _ in objects})
    items = []
    for file, size, objects in found:
        shapes = [Drawn(names[label], "polygon", points) for label, points in objects]
        items.append(Item(images[file], Shapes(shapes, size), split=split_in(file)))
    return Export(list(dict.fromkeys(name for name in names.values() if name)), items)


def _objects(source, file, content):
    """Yields label and polygon of each object."""
    for number, found in enumerate(content["objects"]):
        with source.skipping(f"{file}: object {number}"):
            if not found.get("deleted"):
                yield normalized(found["label"]), polygon(found["polygon"])


def _names(labels):
    """Returns the class of each label, None for ignored ones."""
    classes = list(CITYSCAPES)
    ungrouped = {label: re.sub(r" ?group$", "", label) for label in labels}
    if labels <= {*classes, *_NOT_EVALUATED, _NOT_DRAWN, *(f"{name}group" for name in classes)}:
        names = {name: name for name in classes}
        return (
            names
            | {label: IGNORE if label in _NOT_EVALUATED else ungrouped[label] for label in labels}
            | {_NOT_DRAWN: EMPTY}
        )
    return {
        label: IGNORE
        if label in _NOTHING
        else ungrouped[label]
        if ungrouped[label] in labels
        else label
        for label in sorted(labels)
    }
