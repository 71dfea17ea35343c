"""The two protocols of `MultiScaleSegmenter`: how scales, windows and flips become scores."""

import abc
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_encnet.inference.windows import (
    average_over_windows,
    pad,
    resize,
    resize_rows,
)
from keras_encnet.utils.sizes import WorkingSize, scaled_size
from keras_encnet.utils.windows import shifted_starts, window_starts

# If exp overflows (at 88.7), the largest exponent is lowered to this, which leaves room for a sum.
LARGEST_EXPONENT = 80.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """The arguments of `MultiScaleSegmenter`, checked and with their defaults."""

    base_size: WorkingSize
    crop_size: int
    scales: tuple[float, ...]
    flip: bool
    pad_value: np.ndarray
    window: str
    stride: int
    align_corners: bool
    batch_size: int
    channels: int


class Protocol(abc.ABC):
    """Maps a normalized image `(height, width, channels)` to scores `(height, width, classes)`.

    Attributes:
        windows: allowed values of `window`, the default first.
        align_corners: the default of `align_corners`.

    Args:
        logits: a `tf.function` from images `(batch, height, width, channels)` to float32 logits
            `(batch, height, width, classes)`.
        settings: `Settings`.
    """

    windows: ClassVar[tuple[str, ...]]
    align_corners: ClassVar[bool]

    def __init__(self, logits: Callable[[tf.Tensor], tf.Tensor], settings: Settings):
        self.logits = logits
        self.settings = settings

    @abc.abstractmethod
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Returns the scores of an image."""


class Official(Protocol):
    """The official code: exp of summed logits, averaged over windows and summed over scales."""

    windows = ("slide",)
    align_corners = True

    def __init__(self, logits: Callable[[tf.Tensor], tf.Tensor], settings: Settings):
        super().__init__(logits, settings)
        self.exponentials = tf.function(
            self._exponentials,
            input_signature=[
                tf.TensorSpec((None, None, None, settings.channels), tf.float32),
                tf.TensorSpec((), tf.float32),
            ],
        )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        scores, exponent = self._sum_over_scales(image, shift=0.0)
        if not np.isfinite(scores.max()):
            del scores  # two of them would need much memory
            scores, _ = self._sum_over_scales(image, shift=exponent - LARGEST_EXPONENT)
        return scores

    def _sum_over_scales(self, image, shift):
        """Returns the scores divided by exp(shift), and the largest exponent before the shift."""
        exponents = []

        def run(windows):
            scores, exponent = self.exponentials(windows, shift)
            exponents.append(float(exponent))
            return scores

        scales = (self._scores_at(scale, image, run) for scale in self.settings.scales)
        total = sum_rows(scales, image.shape[:2])
        return total, max(exponents)

    def _scores_at(self, scale, image, run):
        """Returns the rows of the scores of an image at one scale, resized to the image."""
        settings, crop = self.settings, self.settings.crop_size
        size = _scaled(image.shape[:2], math.ceil(settings.base_size * scale))
        starts = [window_starts(side, crop, settings.stride) for side in size]
        padded = pad(
            resize(image, size, settings.align_corners),
            [positions[-1] + crop for positions in starts],
            settings.pad_value,
        )
        scores = average_over_windows(
            run, padded, starts, (crop, crop), settings.batch_size, region=size
        )
        return resize_rows(scores, size[0], image.shape[:2], settings.align_corners)

    def _exponentials(self, windows, shift):
        exponents = self.logits(windows)
        if self.settings.flip:
            # One after the other: both at once would take twice the memory.
            with tf.control_dependencies([exponents]):
                flipped = tf.reverse(windows, [2])
            exponents += tf.reverse(self.logits(flipped), [2])
        return tf.exp(exponents - shift), tf.reduce_max(exponents)


class Mmsegmentation(Protocol):
    """mmsegmentation: the mean over scales and flips of the softmax of resized logits."""

    windows = ("whole", "slide")
    align_corners = False

    def __call__(self, image: np.ndarray) -> np.ndarray:
        size, settings = image.shape[:2], self.settings

        def probabilities():
            for scale in settings.scales:
                # mmsegmentation always resizes images with align_corners=False.
                scaled = resize(image, self._scaled_size(size, scale), align_corners=False)
                yield self._probabilities(scaled, size)
                if settings.flip:
                    flipped = self._probabilities(scaled[:, ::-1], size)
                    yield (rows[:, ::-1] for rows in flipped)

        total = sum_rows(probabilities(), size)
        total /= len(settings.scales) * (1 + settings.flip)
        return total

    def _scaled_size(self, size, scale):
        base_size = self.settings.base_size
        if base_size is None:
            sides = [int(side * scale + 0.5) for side in size]
            return _scaled(size, (max(sides), min(sides)))
        if isinstance(base_size, int):
            return _scaled(size, int(base_size * scale))
        long, short = base_size
        return _scaled(size, (int(long * scale), int(short * scale)))

    def _probabilities(self, scaled, size):
        settings, sides = self.settings, scaled.shape[:2]
        is_whole = settings.window == "whole"
        crop = sides if is_whole else tuple(min(side, settings.crop_size) for side in sides)
        starts = [
            shifted_starts(side, length, settings.stride)
            for side, length in zip(sides, crop, strict=True)
        ]
        logits = average_over_windows(self.logits, scaled, starts, crop, settings.batch_size)
        resized = resize_rows(logits, sides[0], size, settings.align_corners)
        return (tf.nn.softmax(rows).numpy() for rows in resized)


def _scaled(size, base_size):
    return tuple(scaled_size(size, base_size).numpy().tolist())


def sum_rows(images: Iterable[Iterable[np.ndarray]], size: Sequence[int]) -> np.ndarray:
    """Adds images that are given as consecutive rows, of which few are in memory at a time.

    Args:
        images: the rows of each image from the top, `(rows, width, channels)`.
        size: height and width of the images.

    Returns:
        The sum, float32 `(height, width, channels)`.
    """
    total: Any = None
    for blocks in images:
        end = 0
        for rows in blocks:
            if total is None:
                total = np.zeros((*size, rows.shape[-1]), "float32")
            begin, end = end, end + len(rows)
            # Overflow is found in the result.
            with np.errstate(over="ignore"):
                total[begin:end] += rows
    return total


PROTOCOLS: dict[str, type[Official] | type[Mmsegmentation]] = {
    "official": Official,
    "mmsegmentation": Mmsegmentation,
}
