"""Writes small exports for the tests, and reads what they were imported as."""

import json

import numpy as np
from PIL import Image

from training.importing.imports import import_export


def write_image(path, size=(8, 6), mode="RGB", value=100, **options):
    """Writes an image of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "I;16", "I", "F") else (value,) * len(mode)).save(
        path, **options
    )
    return path


def write_mask(path, ids, palette=None):
    """Writes an array as a mask: gray, of a palette, or of colors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(ids, "uint8"))
    if palette is not None:
        colors = [value for color in palette for value in color]
        image.putpalette(colors + [9] * (768 - len(colors)))
    image.save(path)
    return path


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def square(left, top, right, bottom):
    """Returns the corners of a rectangle of whole pixels, as pairs."""
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def flat(points):
    return [value for point in points for value in point]


def imported(source, output, stem=None, **options):
    """Imports an export; returns its report, and the masks by stem as arrays of class names.

    Ignored pixels have the name "".
    """
    report = import_export(source, output, **options)
    names = (output / "classes.txt").read_text("utf-8").splitlines()
    assert tuple(names) == report.classes
    masks = {}
    for path in sorted((output / "labels").rglob("*.png")):
        name = path.relative_to(output / "labels").with_suffix("").as_posix()
        with Image.open(path) as image:
            ids = np.asarray(image)
        named = np.full(ids.shape, "", dtype=object)
        for label in np.unique(ids):
            if label != report.ignored_label:
                named[ids == label] = names[label]
        masks[name] = named
    listed = [line for name in report.images for line in lines(output / f"{name}.txt")]
    assert sorted(listed) == sorted(masks)
    return report, masks if stem is None else masks[stem]


def lines(path):
    return path.read_text("utf-8").splitlines()


def reasons(report):
    """Returns what was skipped, by name."""
    return dict(report.skipped)
