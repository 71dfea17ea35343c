"""Positions of the windows that cover an image."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np


def window_starts(side: int, crop: int, stride: int) -> list[int]:
    """Returns the starts of windows at multiples of `stride`; the last may pass the end."""
    return [stride * i for i in range(-(-max(side - crop, 0) // stride) + 1)]


def shifted_starts(side: int, crop: int, stride: int) -> list[int]:
    """Returns the same starts with the last shifted back to the end, like mmsegmentation."""
    return [min(start, max(side - crop, 0)) for start in window_starts(side, crop, stride)]


def stretches(starts: Sequence[int], length: int) -> Iterator[tuple[int, int, list[int]]]:
    """Splits an axis where windows start or end.

    Args:
        starts: the starts of the windows.
        length: the length of each window.

    Yields:
        Start and end of each stretch, and the starts of the windows that cover it.
    """
    cuts = sorted({*starts, *(start + length for start in starts)})
    for first, last in itertools.pairwise(cuts):
        yield first, last, [start for start in starts if start <= first < start + length]


def pixels_within(start: int, stop: int, side: int, own_side: int) -> np.ndarray:
    """Returns which pixels of an image lie between two lines of its resized version.

    Args:
        start: the first line.
        stop: the second line, both in pixels of the resized image.
        side: length of the axis in the resized image.
        own_side: its length in the image.

    Returns:
        float32, the positions of their centers, in pixels of the resized image.
    """
    first, last = (-((side - 2 * line * own_side) // (2 * side)) for line in (start, stop))
    own = np.arange(max(first, 0), last)
    return ((own + 0.5) * side / own_side - 0.5).astype("float32")
