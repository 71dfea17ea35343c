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


def resize_images(
    images: tf.Tensor, size: Sequence[int] | tf.Tensor, xla: bool = False
) -> tf.Tensor:
    """Resizes images bilinearly, with antialiasing. Images of that size do not change.

    Args:
        images: `(batch, height, width, channels)`, of any dtype.
        size: height and width.
        xla: whether XLA compiles the operations. It has no kernel for `tf.image.resize` with
            antialiasing, and the products of matrices that compute the same take longer.

    Returns:
        float32 `(batch, *size, channels)`.
    """
    if xla:
        return _resize_by_matrices(tf.cast(images, tf.float32), *tf.unstack(size))
    if images.dtype != tf.uint8:
        images = tf.cast(images, tf.float32)
    return tf.image.resize(images, size, antialias=True)


def _resize_by_matrices(images, rows, columns):
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    channels = images.shape[-1]
    pixels = tf.reshape(images, (batch, height, width * channels))
    pixels = tf.matmul(_weights(rows, height), pixels)
    pixels = tf.reshape(pixels, (batch, rows, width, channels))
    return tf.matmul(_weights(columns, width), pixels)


def _weights(size, source_size):
    """Returns the weights `(size, source_size)` of the source pixels in each target pixel."""
    step = tf.cast(source_size, tf.float32) / tf.cast(size, tf.float32)
    centers = (tf.range(size, dtype=tf.float32) + 0.5) * step
    distances = tf.abs(tf.range(source_size, dtype=tf.float32) + 0.5 - centers[:, None])
    weights = tf.nn.relu(1.0 - distances / tf.maximum(step, 1.0))
    return weights / tf.reduce_sum(weights, 1, keepdims=True)
