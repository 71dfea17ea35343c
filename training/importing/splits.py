"""Random splits in which every class has its share."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping, Sequence

import numpy as np

DEFAULT = {"train": 0.8, "val": 0.2}


def parse_ratios(entries: Sequence[str]) -> dict[str, float]:
    """Parses shares such as `["train=0.8", "val=0.2"]`.

    Raises:
        ValueError: If a share is not a positive number, if they do not add up to 1, or if a name
            repeats or cannot be that of a list.
    """
    ratios: dict[str, float] = {}
    for entry in entries:
        name, _, share = entry.partition("=")
        try:
            ratio = float(share)
        except ValueError:
            ratio = 0.0
        if not (re.fullmatch(r"[\w-]+", name) and 0 < ratio <= 1) or name in {*ratios, "classes"}:
            raise ValueError(
                "`--split` must hold names and shares above 0, such as `train=0.8 val=0.2`. "
                f"Received: split={entry!r}"
            )
        ratios[name] = ratio
    if ratios and abs(sum(ratios.values()) - 1) > 1e-6:
        raise ValueError(
            f"The shares of `--split` must add up to 1. Received: split={' '.join(entries)}"
        )
    return ratios


def groups_of(stems: Sequence[str], pattern: str | None) -> list[str]:
    """Returns the group of each image: what the pattern matches at the start of its stem.

    Args:
        stems: Names of the images.
        pattern: Regular expression, or None. If it has a group in parentheses, that counts.

    Raises:
        ValueError: If the expression is invalid, or matches no stem.
    """
    if pattern is None:
        return list(stems)
    try:
        matches = [re.match(pattern, stem) for stem in stems]
    except re.error as error:
        raise ValueError(
            f"`--group` must be a regular expression ({error}). Received: group={pattern!r}"
        ) from error
    if not any(matches):
        raise ValueError(
            "`--group` matches the start of no image's name, such as "
            f"{stems[0]!r}. Received: group={pattern!r}"
        )
    # An image without a match is a group of its own, which no match can be equal to.
    return [
        "=" + (match[1] if match.re.groups else match[0]) if match else stem
        for stem, match in zip(stems, matches, strict=True)
    ]


def assign(
    groups: Sequence[str],
    present: np.ndarray,
    ratios: Mapping[str, float] = DEFAULT,
    seed: int = 0,
) -> list[str]:
    """Assigns images to splits at random, such that every class has its share.

    The images of the rarest class are assigned first, each to the split that lacks most of the
    class. The images of a group stay together. The result does not depend on the order of the
    images.

    Args:
        groups: The group of each image.
        present: Booleans of shape `(images, classes)`: which classes each image contains.
        ratios: The share of each split.
        seed: Integer.

    Returns:
        The split of each image.

    References:
        - [Sechidis et al., On the Stratification of Multi-Label Data](https://doi.org/10.1007/978-3-642-23808-6_10)
    """
    members = collections.defaultdict(list)
    for image, group in enumerate(groups):
        members[group].append(image)
    rng = np.random.default_rng(seed)
    order = rng.permutation(sorted(members)).tolist()
    # Larger groups first: they cannot be fitted in later.
    order.sort(key=lambda group: -len(members[group]))
    counts = np.array([present[members[group]].sum(0) for group in order]).reshape(len(order), -1)
    sizes = np.array([len(members[group]) for group in order])
    shares = np.array(list(ratios.values()))
    lacking, room = np.outer(shares, counts.sum(0)), shares * sizes.sum()
    split_of = np.full(len(order), -1)
    while (split_of < 0).any():
        unassigned = np.flatnonzero(split_of < 0)
        images = (counts[unassigned] > 0).sum(0)
        rarest = np.where(images, images, np.inf).argmin() if images.any() else None
        batch = unassigned if rarest is None else unassigned[counts[unassigned, rarest] > 0]
        for i in batch:
            need = room if rarest is None else lacking[:, rarest]
            # A full split gets nothing, unless all are full.
            fits = room >= np.minimum(sizes[i], room.max())
            split = max(range(len(shares)), key=lambda s: (fits[s], need[s], room[s]))
            split_of[i] = split
            lacking[split] -= counts[i]
            room[split] -= sizes[i]
    _fill_empty(split_of, len(shares))
    names = list(ratios)
    by_group = {group: names[split] for group, split in zip(order, split_of, strict=True)}
    return [by_group[group] for group in groups]


def _fill_empty(split_of, splits):
    """Moves a group of the largest split to each empty one, if there are enough groups."""
    for split in range(splits):
        largest = np.bincount(split_of, minlength=splits).argmax()
        candidates = np.flatnonzero(split_of == largest)
        if not (split_of == split).any() and len(candidates) > 1:
            split_of[candidates[-1]] = split
