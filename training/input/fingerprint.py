"""Fingerprints of data: what a run records about its data, to notice changes when it resumes.

A fingerprint does not depend on paths and times: a copy of a data set has the same.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.input.folder import Split, summarize

# Of one split: `classes`, a list of names, and `images`, a dict from stems to hashes.
Fingerprint = dict[str, Any]


def of_files(split: Split) -> Fingerprint:
    """Returns the fingerprint of a split of a folder data set. It reads every file."""
    # `hashlib` releases the interpreter lock, so threads use all cores.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        images, masks = (
            list(pool.map(_hash_file, p)) for p in (split.image_paths, split.mask_paths)
        )
    pairs = (f"{image} {mask}" for image, mask in zip(images, masks, strict=True))
    return _fingerprint(split.class_names, split.stems, pairs)


def of_arrays(class_names: Sequence[str], images: np.ndarray, labels: np.ndarray) -> Fingerprint:
    """Returns the fingerprint of labeled images in memory, whose stems are their numbers."""
    pairs = (
        f"{_hash(image.tobytes())} {label}" for image, label in zip(images, labels, strict=True)
    )
    return _fingerprint(class_names, map(str, range(len(images))), pairs)


def number(data: Mapping[str, Fingerprint]) -> int:
    """Returns a number of 63 bits that stands for fingerprints, to compare them across workers."""
    return int(_hash(json.dumps(data).encode()), 16) >> 1


def _fingerprint(class_names, stems, pairs):
    return {"classes": list(class_names), "images": dict(zip(stems, pairs, strict=True))}


def _hash_file(path: Path) -> str:
    return _hash(path.read_bytes())


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def changes(recorded: Mapping[str, Fingerprint], found: Mapping[str, Fingerprint]) -> list[str]:
    """Describes how data differ from those that a run has recorded.

    Args:
        recorded: fingerprints by the name of the split.
        found: the same for the current data.

    Returns:
        One phrase per difference; empty if the data are the same.
    """
    return [
        f"in the split {name!r} {change}"
        for name in sorted(recorded.keys() | found.keys())
        for change in _changes(recorded.get(name, _EMPTY), found.get(name, _EMPTY))
    ]


_EMPTY: Fingerprint = {"classes": [], "images": {}}


def _changes(recorded: Fingerprint, found: Fingerprint) -> Iterator[str]:
    if recorded["classes"] != found["classes"]:
        yield f"the classes were {recorded['classes']} and are {found['classes']}"
    before, now = recorded["images"], found["images"]
    kinds = {
        "removed": [stem for stem in before if stem not in now],
        "added": [stem for stem in now if stem not in before],
        "changed": _changed(before, now),
    }
    for kind, stems in kinds.items():
        if stems:
            yield f"{len(stems)} of {len(before)} images were {kind}: {summarize(stems)}"
    if list(before) != list(now) and not any(kinds.values()):
        yield "the images are in another order"


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Returns the stems of the pairs that differ, each with the part that does."""
    both: Iterable[str] = (stem for stem in before if before[stem] != now.get(stem, before[stem]))
    return [f"{stem} ({_part(before[stem], now[stem])})" for stem in both]


def _part(before: str, now: str) -> str:
    parts = zip(("image", "label"), before.split(), now.split(), strict=True)
    return " and ".join(name for name, one, other in parts if one != other)
