"""Masks whose colors stand for classes, with a list of colors.

The list is text, CSV, or the label map of CVAT: a name and a color on each line. Without a list,
the import stops and prints the colors that the masks have, as lines to add names to.
"""

from collections.abc import Mapping

import numpy as np

from training.importing.export import Export, Hints
from training.importing.lists import listed_splits, read_colors
from training.importing.mask_files import (
    Contents,
    classes,
    contents,
    find_pairs,
    items,
    pack,
    skip_lossy,
    skip_unpaired,
    total,
    unpack,
)
from training.importing.source import Source

REMEDY = (
    "Save these lines to a file, replace each `?` by the name of a class, and pass the file with "
    "`--colors`; or pass colors to `--ignore` or `--drop`. Masks with smooth edges or from a JPEG "
    "have mixed colors, which `--color-tolerance` assigns to the nearest color of the list."
)


def detect(source: Source, hints: Hints) -> bool:
    """Returns whether there are masks with colors, or whose gray levels are listed as colors."""
    found = contents(source, tuple(find_pairs(source, hints).values()))
    if any(content.ids is None for content in found.values()):
        return True
    listed = {pack(color.color) for color in read_colors(source, hints)}
    values = total(content.colors for content in found.values()).keys()
    return bool(values) and values <= listed


def read(source: Source, hints: Hints) -> Export:
    """Reads the masks of the source."""
    pairs = find_pairs(source, hints)
    found = contents(source, tuple(pairs.values()))
    for file, content in found.items():
        if content.colors is None:
            source.skip(file, "the mask has 16 bits per pixel, and no colors")
    found = {file: content for file, content in found.items() if content.colors is not None}
    if not hints.color_tolerance:
        found = skip_lossy(source, found, "save masks as PNG, or pass `--color-tolerance`")
    skip_unpaired(source, pairs)
    listed = read_colors(source, hints)
    names = {pack(color.color): color.name for color in listed}
    return export_of(source, hints, pairs, found, names, listed_splits(source))


def export_of(
    source: Source,
    hints: Hints,
    pairs: Mapping[str, str],
    found: Mapping[str, Contents],
    listed: Mapping[int, str | None],
    splits: Mapping[str, str],
) -> Export:
    """Returns the export of masks of colors, given the class of each listed color."""
    counts = total(content.colors for content in found.values())
    names = dict(listed)
    unnamed = {}
    nearest = _nearest(counts, listed, hints.color_tolerance)
    for color, count in sorted(counts.items(), key=lambda entry: -entry[1]):
        if color in nearest:
            names[color] = listed[nearest[color]]
        elif color not in listed:
            names[color] = text = f"#{color:06x}"
            masks = sum(color in (content.colors or {}) for content in found.values())
            line = "{:>3} {:>3} {:>3} ?".format(*unpack(color))
            unnamed[text] = f"{line}  ({count} pixels in {masks} masks)"
    notes = []
    if nearest:
        pixels = sum(counts[color] for color in nearest)
        notes = [f"{pixels} pixels have the class of the nearest listed color."]
    return Export(
        classes(names),
        list(items(source, pairs, found, names, colors=True, splits=splits)),
        aliases=_aliases(names),
        unnamed=unnamed,
        unnamed_remedy=REMEDY,
        notes=notes,
    )


def _aliases(names):
    """Returns the classes by their colors, as options may write these."""
    return {f"#{color:06x}": name for color, name in names.items()} | {
        "{},{},{}".format(*unpack(color)): name for color, name in names.items()
    }


def _nearest(counts, listed, tolerance):
    """Returns the nearest listed color of each other color that is within the tolerance."""
    if not (tolerance and listed):
        return {}
    known = np.array([unpack(color) for color in listed])
    nearest = {}
    for color in counts:
        if color not in listed:
            distances = np.abs(known - unpack(color)).max(1)
            if distances.min() <= tolerance:
                nearest[color] = list(listed)[distances.argmin()]
    return nearest
