"""Masks of two classes: 0 is the background, 255 the object.

Masks saved as JPEG have other values as well, if the format is requested: those of 128 and more
count as the object. The class list, if there is one, has two names.
"""

from training.importing.export import Export, Hints
from training.importing.lists import listed_splits, read_ids
from training.importing.mask_files import contents, find_pairs, items, skip_unpaired, total
from training.importing.source import Source
from training.input.folder import summarize

_WHITE, _THRESHOLD = 255, 128


def detect(source: Source, hints: Hints) -> bool:
    """Returns whether there are masks, and all of their pixels are 0 or 255."""
    found = contents(source, tuple(find_pairs(source, hints).values()))
    values = set(total(content.ids for content in found.values()))
    every_gray = all(content.ids is not None for content in found.values())
    return every_gray and _WHITE in values and values <= {0, _WHITE}


def read(source: Source, hints: Hints) -> Export:
    """Reads the masks of the source."""
    pairs = find_pairs(source, hints)
    found = contents(source, tuple(pairs.values()))
    for file, content in found.items():
        if content.ids is None:
            source.skip(file, "the mask has colors")
    found = {file: content for file, content in found.items() if content.ids is not None}
    skip_unpaired(source, pairs)
    listed = read_ids(source, hints) or ["background", "object"]
    by_rank = list(listed.values()) if isinstance(listed, dict) else listed
    if len(by_rank) != 2:
        raise ValueError(
            "Masks of two values need two class names, that of 0 first. "
            f"Received: names={summarize(by_rank)}"
        )
    values = total(content.ids for content in found.values())
    names: dict[int, str | None] = {value: by_rank[value >= _THRESHOLD] for value in values}
    others = sum(count for value, count in values.items() if value not in (0, _WHITE))
    return Export(
        by_rank,
        list(items(source, pairs, found, names, False, listed_splits(source))),
        aliases={"0": by_rank[0], "255": by_rank[1]},
        notes=[
            f"{others} pixels are neither 0 nor 255; those of {_THRESHOLD} and more count as 255."
        ]
        if others
        else [],
    )
