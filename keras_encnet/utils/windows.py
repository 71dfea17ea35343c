"""Positions of the windows that cover an image."""

import itertools
from collections.abc import Iterator, Sequence


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
