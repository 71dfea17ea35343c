"""Mean and standard deviation per channel of images, one image in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Moments(NamedTuple):
    """Moments of pixels.

    Attributes:
        pixels: Integer, the number of pixels.
        mean: Mean of each channel, float64.
        squares: Sum of the squared differences from the mean of each channel, float64.
    """

    pixels: int
    mean: np.ndarray
    squares: np.ndarray

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of each channel."""
        return np.sqrt(self.squares / max(self.pixels, 1))


def moments_of(image: np.ndarray) -> Moments:
    """Returns the moments of an image `(height, width, channels)`, without rounding of sums."""
    pixels = image.reshape(-1, image.shape[-1])
    count = len(pixels)
    if image.dtype == np.uint8:  # of 16 bits, the square of a value
        total = pixels.sum(0, dtype="int64")
        squares = np.multiply(pixels, pixels, dtype="uint16").sum(0, dtype="int64")
        exact = [count * int(q) - int(s) ** 2 for q, s in zip(squares, total, strict=True)]
        return Moments(count, total / count, np.array(exact, "float64") / count)
    mean = pixels.mean(0, dtype="float64")
    return Moments(count, mean, np.square(pixels - mean).sum(0))


def merged(moments: Iterable[Moments]) -> Moments | None:
    """Returns the moments of the pixels of several images; None without images.

    Sums of large values would lose digits; these are the updates of [Chan et al.](
    https://doi.org/10.2307/2683386), which do not.
    """
    total = None
    for found in moments:
        total = found if total is None else _of_both(total, found)
    return total


def _of_both(one, other):
    count = one.pixels + other.pixels
    difference = other.mean - one.mean
    weight = other.pixels / count
    squares = one.squares + other.squares + difference**2 * one.pixels * weight
    return Moments(count, one.mean + difference * weight, squares)


def rounded(values: np.ndarray) -> tuple[float, ...]:
    """Returns numbers with six significant digits, as they are printed and stored.

    >>> rounded(np.array([123.456789, 0.000123456789]))
    (123.457, 0.000123457)
    """
    return tuple(float(f"{value:.6g}") for value in values)


def describe_statistics(moments: Moments, channels: int) -> str:
    """Returns mean and standard deviation of the first channels as options of `training.train`."""
    used = (values[:channels] for values in (moments.mean, moments.std))
    mean, std = (" ".join(f"{x:g}" for x in rounded(values)) for values in used)
    return f"statistics per channel: --mean {mean} --std {std}"
