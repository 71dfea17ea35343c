"""The formats of exports, each with a function that recognizes and one that reads it."""

from collections.abc import Callable

from training.importing.export import Export, Hints
from training.importing.formats import binary, cityscapes, coco, ids, labelme, rgb, voc, yolo
from training.importing.names import divide
from training.importing.source import Source

READERS: dict[str, Callable[[Source, Hints], Export]] = {
    "coco": coco.read,
    "labelme": labelme.read,
    "cityscapes": cityscapes.read,
    "voc": voc.read,
    "yolo": yolo.read,
    "rgb": rgb.read,
    "binary": binary.read,
    "ids": ids.read,
}
# The hints that each format reads; `Hints.background` applies to all.
HINTS = {
    "coco": (),
    "labelme": ("classes",),
    "cityscapes": (),
    "voc": ("classes", "colors", "color_tolerance"),
    "yolo": ("classes",),
    "rgb": ("colors", "color_tolerance", "images", "masks"),
    "binary": ("classes", "images", "masks"),
    "ids": ("classes", "colors", "images", "masks"),
}
# Recognized by their files. Only if there are none of these, masks are looked for and decoded.
_BY_FILES = {
    "coco": coco.detect,
    "labelme": labelme.detect,
    "cityscapes": cityscapes.detect,
    "voc": voc.detect,
    "yolo": yolo.detect,
}
_BY_PIXELS = {"rgb": rgb.detect, "binary": binary.detect, "ids": ids.detect}


def detect(source: Source, hints: Hints) -> str:
    """Returns the name of the format of an export.

    Raises:
        ValueError: If no format or several are recognized.
    """
    found = [name for name, is_format in _BY_FILES.items() if is_format(source)]
    if not found:
        found = [name for name, is_format in _BY_PIXELS.items() if is_format(source, hints)][:1]
    if len(found) > 1:
        raise ValueError(
            f"The export has files of several formats: {', '.join(found)}. Choose one with "
            f"`--format`. Received: source={source.root}"
        )
    if not found:
        images, masks = map(len, divide(source.images))
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in source.skipped[:10])
        raise ValueError(
            f"No known format: there are no annotation files, and of {images} images and {masks} "
            "masks, no pair has names that agree and can be read. If there are masks, pass the "
            f"folders with `--images` and `--masks`. Received: source={source.root}{reasons}"
        )
    return found[0]
