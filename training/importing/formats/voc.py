"""PASCAL VOC, and CVAT's "Segmentation mask 1.1": masks in `SegmentationClass`.

Masks have a palette, or colors. `labelmap.txt` lists the colors; without it, or if it has no
colors, classes have the colors of VOC in their order, and without names, they are those of VOC. The
value 255 of a palette and VOC's color of borders are ignored. The splits are the lists in
`ImageSets/Segmentation`, except CVAT's `default.txt`.

References:
    - [PASCAL VOC 2012](http://host.robots.ox.ac.uk/pascal/VOC/voc2012/)
    - [CVAT, Segmentation mask](https://docs.cvat.ai/docs/dataset_management/formats/format-smask/)
"""

import collections
from collections.abc import Mapping
from pathlib import PurePosixPath

from keras_encnet.labels import VOC, voc_palette
from training.importing.export import IGNORE, Export, Hints
from training.importing.formats import ids, rgb
from training.importing.lists import read_colors, read_labels
from training.importing.mask_files import contents, pack, skip_lossy, total
from training.importing.names import normalized, pair
from training.importing.source import Source

_FOLDER = "segmentationclass"
_BORDER = (224, 224, 192)


def detect(source: Source) -> bool:
    """Returns whether there is a folder `SegmentationClass` with masks."""
    return bool(_masks(source))


def _masks(source):
    return [file for file in source.images if _FOLDER in _folders(file)]


def _folders(file):
    return [part.lower() for part in PurePosixPath(file).parts[:-1]]


def read(source: Source, hints: Hints) -> Export:
    """Reads the masks of the source."""
    masks = _masks(source)
    kinds = {_FOLDER, "segmentationobject", "segmentationclassvisualization"}
    images = [file for file in source.images if not kinds & set(_folders(file))]
    pairs = pair(images, masks)
    for file in sorted(set(masks) - set(pairs.values())):
        source.skip(file, "there is no image for the mask; export the images as well")
    for file in sorted(set(images) - set(pairs)):
        source.skip(file, "there is no mask for the image")
    found = contents(source, tuple(sorted(pairs.values())))
    found = skip_lossy(source, found, "save masks as PNG")
    splits = _splits(source, pairs)
    listed = _listed(source, hints)
    if all(content.colors is not None for content in found.values()):
        colors = total(content.colors for content in found.values()).keys()
        border = {pack(_BORDER): IGNORE} if pack(_BORDER) not in listed else {}
        every_color = {**listed, **border}
        has_palette = any(content.ids is not None for content in found.values())
        if colors <= every_color.keys() or not has_palette:
            return rgb.export_of(source, hints, pairs, found, every_color, splits)
    names = list(dict.fromkeys(name for name in listed.values() if name is not None))
    counts = total(content.ids for content in found.values())
    return ids.export_of(source, hints, pairs, found, counts, names, splits)


def _listed(source, hints) -> Mapping[int, str | None]:
    """Returns the class of each color."""
    colors = read_colors(source, hints)
    if colors:
        return {
            pack(color.color): IGNORE if color.color == _BORDER else color.name for color in colors
        }
    names = read_labels(source, hints) or VOC
    return {
        pack(color): name
        for color, name in zip(voc_palette(len(names)).tolist(), names, strict=True)
    }


def _splits(source, pairs):
    """Returns the split of each image in the lists of `ImageSets/Segmentation`."""
    by_stem = collections.defaultdict(set)
    for image, mask in pairs.items():
        for path in (image, mask):
            parts = PurePosixPath(normalized(path)).with_suffix("").parts
            for i in range(len(parts)):
                by_stem["/".join(parts[i:])].add(image)
    splits: dict[str, str] = {}
    lists = [f for f in source.with_suffix(".txt") if _folders(f)[-1:] == ["segmentation"]]
    names = {PurePosixPath(file).stem.lower() for file in lists}
    for file in lists:
        name = PurePosixPath(file).stem.lower()
        if name == "default" or (name == "trainval" and {"train", "val"} <= names):
            continue
        for line in map(normalized, source.text(file).splitlines()):
            if len(by_stem[line]) == 1:
                splits |= dict.fromkeys(by_stem[line], name)
            elif line:
                source.skip(f"{file}: {line}", "it names no pair of image and mask, or several")
    return splits
