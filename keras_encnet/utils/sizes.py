"""The size at which a network sees its images, and the resizing to it.

The working size of a model is the long side of its images in pixels, or a pair, bounds of the long
and of the short side, or None: images keep their own size. The aspect ratio is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import tensorflow as tf

from keras_encnet.utils.checks import is_count

NATIVE = "native"
WorkingSize = int | tuple[int, int] | None
# What users pass for it: None stands for a default.
Size = int | Sequence[int] | Literal["native"] | None


def checked_working_size(size: Any, name: str = "working_size") -> WorkingSize:
    """Returns a working size in its normal form: None for `"native"`, a pair in descending order.

    Args:
        size: the argument of a user.
        name: its name, for the error.

    Raises:
        ValueError: if it is no working size.
    """
    if size is None or (isinstance(size, str) and size == NATIVE):
        return None
    if is_count(size, least=1):
        return int(size)
    if isinstance(size, (tuple, list)) and len(size) == 2 and all(is_count(x, 1) for x in size):
        return int(max(size)), int(min(size))
    raise ValueError(
        f"`{name}` must be a positive integer, the long side of the images in pixels; a pair, "
        "bounds of the long and of the short side; or 'native', to keep the size of the images. "
        f"Received: {name}={size!r}"
    )


def scaled_size(
    size: Sequence[int] | tf.Tensor, working_size: WorkingSize | tf.Tensor
) -> tf.Tensor:
    """Returns the size at which a network sees an image.

    The aspect ratio is kept, up to the rounding of each side to the nearest integer (halves up),
    and no side is less than 1. Smaller images are enlarged. Integer arithmetic makes the result
    exact; it is that of the official code and, except for 1 in 10,000 sizes, of mmcv.

    >>> [scaled_size((375, 500), size).numpy().tolist() for size in (320, (2048, 512), None)]
    [[240, 320], [512, 683], [375, 500]]

    Args:
        size: height and width of the image.
        working_size: a working size; its integer may be a tensor.

    Returns:
        Height and width, int32 `(2,)`.
    """
    size = tf.cast(size, tf.int64)
    if working_size is None:
        return tf.cast(size, tf.int32)
    longest, shortest = tf.reduce_max(size), tf.reduce_min(size)
    if isinstance(working_size, tuple):
        long, short = (tf.constant(bound, tf.int64) for bound in working_size)
        is_long = long * shortest <= short * longest  # whether the bound of the long side holds
        target, source = tf.where(is_long, long, short), tf.where(is_long, longest, shortest)
    else:
        target, source = tf.cast(working_size, tf.int64), longest
    return tf.cast(tf.maximum((2 * size * target + source) // (2 * source), 1), tf.int32)


def resize_images(images: tf.Tensor, size: Sequence[int] | tf.Tensor) -> tf.Tensor:
    """Resizes images bilinearly, with antialiasing. Images of that size do not change.

    XLA cannot compile it.

    Args:
        images: `(batch, height, width, channels)`, of any dtype.
        size: height and width.

    Returns:
        float32 `(batch, *size, channels)`.
    """
    if images.dtype != tf.uint8:
        images = tf.cast(images, tf.float32)
    return tf.image.resize(images, size, antialias=True)
