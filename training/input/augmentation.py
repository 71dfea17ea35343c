"""Random flips, scales, rotations and crops of images and their masks.

`tf.raw_ops.ImageProjectiveTransformV3` would do the same: its crops differ by at most one gray
level. But it takes 9.4 ms per 480x480 crop of a 500x375 image on one CPU core, and the fixed-point
arithmetic below 2.0 ms, with bits that do not depend on batch or device.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_encnet.utils.sizes import (
    WorkingSize,
    checked_working_size,
    resize_images,
    scaled_size,
)
from training.configs.photometric import Photometric
from training.input.photometric import distort

# Positions are fixed-point numbers with six fractional bits. The weights of four neighbors then add
# up to 4096, and weighted sums of 8-bit values need 20 bits.
_BITS = 6
_ONE, _HALF = 1 << _BITS, 1 << _BITS - 1
# Three channels of a pixel share one 64-bit integer, at these bit offsets: one multiplication
# weights all of them exactly, without carry from one to the next.
_CHANNELS = np.array([0, 20, 40], "int64")
# Half of 4096 in every channel, for rounding.
_ROUNDING = int(np.sum(_ONE * _HALF << _CHANNELS))


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Parameters of the random augmentation. Defaults are those of the paper.

    An image is flipped horizontally or not, resized by a random factor, rotated by a random angle
    about its center, and cropped at random. Pixels outside the image are black, and ignored in the
    mask. Colors, blur and noise of the crop are changed at random if `photometric` says so.

    The paper flips, scales by 0.5 to 2 and rotates by -10 to 10 degrees. The official code scales a
    base size that depends on the data set, and does not rotate.

    Attributes:
        flip: Whether to flip images with probability 1/2.
        scale: Pair of floats, the smallest and the largest factor. Below 0.5, the bilinear
            interpolation skips pixels.
        rotation: Float, the largest angle in either direction, in degrees.
        working_size: Size to which images are resized before the random factor, see
            `keras_encnet.SegmentationModel`. None keeps the original size.
        photometric: Strengths of the changes of colors, blur and noise. None by default.
    """

    flip: bool = True
    scale: tuple[float, float] = (0.5, 2.0)
    rotation: float = 10.0
    working_size: WorkingSize = None
    photometric: Photometric = Photometric()

    def __post_init__(self) -> None:
        checked_working_size(self.working_size)
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(
                "`scale` must be the smallest and the largest factor, both positive. "
                f"Received: scale={self.scale}"
            )
        if not 0 <= self.rotation <= 180:
            raise ValueError(
                f"`rotation` must be between 0 and 180 degrees. Received: rotation={self.rotation}"
            )


def augment(
    image: tf.Tensor,
    mask: tf.Tensor,
    augmentation: Augmentation,
    *,
    crop_size: Sequence[int],
    seed: tf.Tensor,
    outside: int = 255,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Flips, scales, rotates and crops an image and its mask, and changes colors of the crop.

    The geometry is one affine map from the pixels of the crop to those of the image, so each pixel
    is interpolated only once, bilinearly, at multiples of 1/64 pixel (OpenCV uses 1/32). Border
    pixels are repeated. The identity leaves all pixels unchanged, bit for bit. Colors follow, see
    `training.input.photometric`.

    XLA compiles the pixelwise operations, which makes them six times as fast. It compiles once for
    every power of two of pixels among the image sizes, in a third of a second.

    Args:
        image: `uint8` or `float32` tensor of shape `(height, width, channels)`. Floats are
            interpolated in float32; they have no range.
        mask: `int32` tensor of shape `(height, width)`.
        augmentation: An `Augmentation`.
        crop_size: Pair of integers, the height and the width of the crop.
        seed: Integer tensor of shape `(2,)`, the only source of randomness.
        outside: Integer, the label of crop pixels outside the image.

    Returns:
        The crop, of the dtype of the image, and its mask, `int32`.
    """
    mirror, factor, turn, *place = tf.unstack(tf.random.stateless_uniform((5,), seed))
    least, greatest = augmentation.scale
    # The scaled image has a whole number of pixels, so `ratio` is only close to the factor.
    size = tf.cast(tf.shape(mask), "float32")
    scaled = tf.maximum(tf.round(size * (least + factor * (greatest - least))), 1.0)
    ratio = scaled / size
    angle = math.radians(augmentation.rotation) * (2.0 * turn - 1.0)
    sign = tf.where(mirror < 0.5, -1.0, 1.0) if augmentation.flip else 1.0
    # The corner of the crop in the scaled image, in whole pixels. If the image is smaller than the
    # crop, the corner is negative and the image lies at random in the crop.
    slack = scaled - tf.constant(crop_size, "float32")
    corner = tf.floor(tf.minimum(slack, 0.0) + tf.stack(place) * (tf.abs(slack) + 1.0))

    # From the crop to the image: move the center of the scaled image to the origin, rotate, undo
    # scaling and flip, move the origin to the center of the image. The halves account for pixel
    # centers, which are at integers in the map.
    y, x = tf.unstack(corner - scaled / 2.0 + 0.5)
    xx, xy = sign * tf.cos(angle) / ratio[1], -sign * tf.sin(angle) / ratio[1]
    yx, yy = tf.sin(angle) / ratio[0], tf.cos(angle) / ratio[0]
    x0, y0 = (size[1] - 1.0) / 2.0, (size[0] - 1.0) / 2.0
    affine = [[xx, xy, xx * x + xy * y + x0], [yx, yy, yx * x + yy * y + y0]]

    channels = image.shape[-1]
    pixels = tf.reshape(_padded(tf.reshape(image, (-1,)), channels), (-1, channels))
    crop, labels, inside = _crop(
        _pack(pixels) if image.dtype == tf.uint8 else tf.unstack(pixels, axis=-1),
        _padded(tf.reshape(mask, (-1,)), channels=1),
        tf.shape(mask),
        tf.stack(affine),
        tuple(crop_size),
        outside,
    )
    crop = _unpack(crop, channels) if image.dtype == tf.uint8 else tf.stack(crop, -1)
    return distort(crop, inside, augmentation.photometric, seed), labels


def resize_pair(
    image: tf.Tensor, mask: tf.Tensor, working_size: WorkingSize
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes an image, as a model with this working size does, and its mask.

    Args:
        image: `uint8` or `float32` tensor of shape `(height, width, channels)`.
        mask: `int32` tensor of shape `(height, width)`.
        working_size: see `keras_encnet.SegmentationModel`.

    Returns:
        The image, of its dtype, and the mask, `int32`, by nearest neighbors.
    """
    size = scaled_size(tf.shape(mask), working_size)
    resized = resize_images(image[None], size)[0]
    labels = tf.image.resize(mask[..., None], size, method="nearest")
    dtype = tf.as_dtype(image.dtype)
    resized = tf.round(resized) if dtype.is_integer else resized
    return tf.cast(resized, dtype), labels[..., 0]


def _padded(flat, channels):
    """Pads to the next power of two of pixels, as XLA compiles again for every shape."""
    powers = np.array([1 << i for i in range(40)], "int64")
    pixels = tf.size(flat, tf.int64) // channels
    padding = tf.gather(powers, tf.searchsorted(powers, [pixels])[0]) - pixels
    return tf.pad(flat, [[0, channels * padding]])


# Three functions: fused into one, XLA would pack a pixel each time it is read, and interpolate
# once per channel.
@tf.function(jit_compile=True, autograph=False)
def _pack(pixels):
    """Returns one 64-bit integer per pixel for each group of three channels."""
    channels = tf.cast(pixels, "int64")
    return [
        tf.reduce_sum(tf.bitwise.left_shift(group, _CHANNELS[: group.shape[-1]]), axis=-1)
        for group in (channels[:, i : i + 3] for i in range(0, pixels.shape[-1], 3))
    ]


@tf.function(jit_compile=True, autograph=False)
def _crop(pixels, labels, size, affine, crop_size, outside):
    height, width = tf.unstack(size)
    row, column = (tf.range(length, dtype="float32") for length in crop_size)

    def positions(line, length):
        exact = line[0] * column + (line[1] * row + line[2])[:, None]
        near = tf.clip_by_value(exact, -1.0, tf.cast(length, "float32"))  # avoids overflow
        return tf.cast(tf.floor(near * _ONE), "int32")

    x, y = positions(affine[0], width), positions(affine[1], height)

    # The mask: the label of the nearest pixel.
    nearest_x, nearest_y = (tf.bitwise.right_shift(position + _HALF, _BITS) for position in (x, y))
    inside = (nearest_x >= 0) & (nearest_x < width) & (nearest_y >= 0) & (nearest_y < height)
    nearest = tf.where(inside, nearest_y * width + nearest_x, 0)
    labels = tf.where(inside, tf.gather(labels, nearest), outside)

    # The image: between four pixels, with the border repeated.
    left, right, across = _neighbors(x, width)
    upper, lower, down = _neighbors(y, height)

    def blend(values):
        def along(line):
            ends = (tf.gather(values, line * width + end) for end in (left, right))
            return _between(*ends, tf.cast(across, values.dtype))

        blended = _between(along(upper), along(lower), tf.cast(down, values.dtype))
        if values.dtype.is_integer:
            return tf.where(inside, blended + _ROUNDING, 0)
        return tf.where(inside, blended / _ONE**2, 0.0)

    return [blend(values) for values in pixels], labels, inside


@tf.function(jit_compile=True, autograph=False)
def _unpack(groups, channels):
    shifted = [tf.bitwise.right_shift(sums[..., None], 2 * _BITS + _CHANNELS) for sums in groups]
    values = tf.bitwise.bitwise_and(tf.concat(shifted, -1)[..., :channels], 255)
    return tf.cast(values, "uint8")


def _neighbors(position, length):
    """Returns the pixels on either side, and the fraction between them in 64ths."""
    position = tf.clip_by_value(position, 0, _ONE * (length - 1))
    first = tf.bitwise.right_shift(position, _BITS)
    fraction = tf.cast(tf.bitwise.bitwise_and(position, _ONE - 1), "int64")
    return first, tf.minimum(first + 1, length - 1), fraction


def _between(first, second, fraction):
    return (_ONE - fraction) * first + fraction * second
