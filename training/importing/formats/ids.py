"""Masks whose pixels are ids: gray images of 8 or 16 bits, palettes, or three equal channels.

255 is ignored, and 65535 in masks of 16 bits, unless the class list names it. The class list is
`classes.txt` or a similar file, one name per line, or ids and names. If the largest id is the
number of names and no pixel is 0, the first name has id 1. Without a list, classes are named after
their ids.
"""

from training.importing.export import EMPTY, IGNORE, Export, Hints
from training.importing.lists import listed_splits, read_colors, read_ids
from training.importing.mask_files import (
    classes,
    contents,
    find_pairs,
    items,
    skip_lossy,
    skip_unpaired,
    total,
)
from training.importing.source import Source
from training.input.folder import summarize

IGNORED = (255, 65535)


def detect(source: Source, hints: Hints) -> bool:
    """Returns whether there are masks, and their pixels are no colors and not only 0 and 255."""
    found = contents(source, tuple(find_pairs(source, hints).values()))
    return bool(found) and all(content.ids is not None for content in found.values())


def read(source: Source, hints: Hints) -> Export:
    """Reads the masks of the source."""
    pairs = find_pairs(source, hints)
    found = contents(source, tuple(pairs.values()))
    found = skip_lossy(
        source, found, "save masks as PNG, or pass `--format binary` for two classes"
    )
    for file, content in list(found.items()):
        if content.ids is None:
            source.skip(file, "the mask has colors; pass `--format rgb`")
            del found[file]
    skip_unpaired(source, pairs)
    counts = total(content.ids for content in found.values())
    listed = read_ids(source, hints) or [color.name for color in read_colors(source, hints)]
    return export_of(source, hints, pairs, found, counts, listed, listed_splits(source))


def export_of(source, hints, pairs, found, counts, listed, splits) -> Export:
    """Returns the export of masks of ids, given the names of the classes."""
    names, notes = _names(counts, listed, hints)
    unnamed = {
        name: f"{value}: {count} pixels"
        for value, count in counts.items()
        if listed and (name := names[value]) == f"id {value}"
    }
    return Export(
        classes(names),
        list(items(source, pairs, found, names, colors=False, splits=splits)),
        aliases={str(value): name for value, name in names.items()},
        unnamed=unnamed,
        unnamed_remedy=(
            "Add their names to the class list (`--classes FILE`, with lines such as `7 road`), or "
            "pass the ids to `--ignore` or `--drop`."
        ),
        notes=notes,
    )


def _names(counts, listed, hints):
    """Returns the class of each value, and notes."""
    by_id, notes = _by_id(counts, listed, hints)
    names = dict(sorted(by_id.items()))
    for value in counts:
        if value not in names:
            prefix = "id" if listed else "class"
            names[value] = IGNORE if value in IGNORED else f"{prefix} {value}"
    if not listed:
        _check_dense(counts)
    if not listed and set(names) - set(IGNORED) <= {0, 1}:
        names |= {0: "background", 1: "object"}
    return names, notes


def _by_id(counts, listed, hints):
    """Returns the names of the list by id."""
    if isinstance(listed, dict):
        return listed, []
    largest = max((value for value in counts if value not in IGNORED), default=0)
    if not listed or largest != len(listed):
        return dict(enumerate(listed)), []
    if 0 not in counts:
        return dict(enumerate(listed, 1)), [f"The ids start from 1: 1 is {listed[0]!r}."]
    if not hints.background:
        raise ValueError(
            f"The masks have the ids 0 to {largest}, but there are only {len(listed)} class names. "
            "If 0 is no class, pass `--background ignore` to ignore it, or `--background NAME` to "
            "make it one; if a name is missing, add it to the class list. "
            f"Received: names={summarize(listed)}"
        )
    return dict(enumerate(listed, 1)) | {0: EMPTY}, [
        f"The ids start from 1: 1 is {listed[0]!r}; 0 stands for no annotation."
    ]


def _check_dense(counts):
    """Raises ValueError for gray levels, in which 255 may be a class as well as the rest."""
    values = [value for value in counts if value not in IGNORED]
    if len(values) < len(counts) and max(values, default=0) >= max(64, 8 * len(values)):
        raise ValueError(
            "The values of the masks look like gray levels that stand for classes. List them in a "
            "text file, with lines such as `128 road`, and pass it with `--classes`, or pass "
            f"`--ignore 255` if 255 is no class. Received: values={summarize(map(str, counts))}"
        )
