"""Random flips, scales, rotations and crops of images and their masks."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

# Places in an image are fixed-point numbers with six bits behind the point, so the weights of four
# neighbors add up to 4096, and weighted sums of grays need 20 bits.
_BITS = 6
_ONE, _HALF = 1 << _BITS, 1 << _BITS - 1
# The channels of a pixel share an integer of 64 bits, where their grays begin at these: one
# multiplication weights all of them, exactly, and none runs over into the next.
_CHANNELS = np.array([0, 20, 40], "int64")
# Half of 4096 in every channel, to round by.
_ROUNDING = int(np.sum(_ONE * _HALF << _CHANNELS))


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images are varied, by default as in the paper.

    An image is flipped from left to right or not, resized by a random factor, rotated by a random
    angle about its center and cut to the crop size at a random place. What lies outside the image
    is black, and void in the mask.

    The paper flips, scales by 0.5 to 2 and rotates by -10 to 10 degrees. Its released code scales
    a base size given for each data set, and doesn't rotate.

    Attributes:
        flip: Whether every other image is flipped, by chance.
        scale: Pair of floats, the least and the greatest factor. Below 0.5, the bilinear
            interpolation begins to leave out pixels.
        rotation: Float, the greatest angle to either side, in degrees.
        base_size: Integer, the long side that an image gets before the random factor, or None,
            its own.
    """

    flip: bool = True
    scale: tuple[float, float] = (0.5, 2.0)
    rotation: float = 10.0
    base_size: int | None = None

    def __post_init__(self):
        if self.base_size is not None and self.base_size < 1:
            raise ValueError(
                "`base_size` must be a positive integer, or None. "
                f"Received: base_size={self.base_size}"
            )
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(
                "`scale` must be the least and the greatest factor, both positive. "
                f"Received: scale={self.scale}"
            )
        if not 0 <= self.rotation <= 180:
            raise ValueError(
                "`rotation` must be the greatest angle to either side, 0 to 180 degrees. "
                f"Received: rotation={self.rotation}"
            )


def augment(image, mask, augmentation, *, crop_size, seed, outside=255):
    """Flips, scales, rotates and crops an image and its mask.

    All of it is one affine map from the pixels of the crop to those of the image, so each pixel is
    interpolated once, bilinearly, at whole 64ths of a pixel (OpenCV takes 32nds). At the border it
    repeats pixels. When nothing is to be done the pixels stay as they are, bit for bit.

    XLA compiles what is done pixel by pixel, which then takes a sixth of the time of TensorFlow's
    operations: for each power of two of pixels that there are images of, once, in a third of a
    second.

    Args:
        image: `uint8` tensor of shape `(height, width, 3)`.
        mask: `int32` tensor of shape `(height, width)`.
        augmentation: An `Augmentation`.
        crop_size: Pair of integers, the height and the width of the crop.
        seed: Integer tensor of shape `(2,)`, all that chance depends on.
        outside: Integer, the label of the pixels of the crop that lie outside the image.

    Returns:
        The crop, `uint8`, and its mask, `int32`.
    """
    mirror, factor, turn, *place = tf.unstack(tf.random.stateless_uniform((5,), seed))
    least, greatest = augmentation.scale
    # As in any resizing, the scaled image has whole pixels; `ratio` is then close to the factor.
    size = tf.cast(tf.shape(mask), "float32")
    scaled = tf.maximum(tf.round(size * (least + factor * (greatest - least))), 1.0)
    ratio = scaled / size
    angle = math.radians(augmentation.rotation) * (2.0 * turn - 1.0)
    sign = tf.where(mirror < 0.5, -1.0, 1.0) if augmentation.flip else 1.0
    # The corner of the crop in the scaled image, in whole pixels. If the image is the smaller one,
    # the corner is negative, and the image lies somewhere in the crop.
    slack = scaled - tf.constant(crop_size, "float32")
    corner = tf.floor(tf.minimum(slack, 0.0) + tf.stack(place) * (tf.abs(slack) + 1.0))

    # From the crop to the image: move the center of the scaled image to the origin, turn, undo the
    # scaling and the flip, move the origin to the center of the image. A pixel's center is at half
    # its width here, but at the integers in the map; hence the halves.
    y, x = tf.unstack(corner - scaled / 2.0 + 0.5)
    xx, xy = sign * tf.cos(angle) / ratio[1], -sign * tf.sin(angle) / ratio[1]
    yx, yy = tf.sin(angle) / ratio[0], tf.cos(angle) / ratio[0]
    x0, y0 = (size[1] - 1.0) / 2.0, (size[0] - 1.0) / 2.0
    affine = [[xx, xy, xx * x + xy * y + x0], [yx, yy, yx * x + yy * y + y0]]

    crop, labels = _crop(
        _pack(tf.reshape(_padded(tf.reshape(image, (-1,)), channels=3), (-1, 3))),
        _padded(tf.reshape(mask, (-1,)), channels=1),
        tf.shape(mask),
        tf.stack(affine),
        tuple(crop_size),
        outside,
    )
    return _unpack(crop), labels


def resize_long_side(image, mask, length):
    """Resizes an image, by averages where it shrinks, and its mask, by nearest neighbors.

    Args:
        image: `uint8` tensor of shape `(height, width, 3)`.
        mask: `int32` tensor of shape `(height, width)`.
        length: Integer, what the longer side becomes. The other keeps its proportion.

    Returns:
        The image, `uint8`, and the mask, `int32`.
    """
    size = tf.cast(tf.shape(mask), "float32")
    size = tf.cast(tf.maximum(tf.round(size * (length / tf.reduce_max(size))), 1.0), "int32")
    resized = tf.image.resize(image, size, antialias=True)
    labels = tf.image.resize(mask[..., None], size, method="nearest")
    return tf.cast(tf.round(resized), "uint8"), labels[..., 0]


def _padded(flat, channels):
    """Pads to the next power of two of pixels, since XLA compiles anew for every shape."""
    powers = np.array([1 << i for i in range(40)], "int64")
    pixels = tf.size(flat, "int64") // channels
    padding = tf.gather(powers, tf.searchsorted(powers, [pixels])[0]) - pixels
    return tf.pad(flat, [[0, channels * padding]])


# Three functions, as in one XLA would pack a pixel each time that it is read, and interpolate once
# for every channel.
@tf.function(jit_compile=True, autograph=False)
def _pack(pixels):
    return tf.reduce_sum(tf.bitwise.left_shift(tf.cast(pixels, "int64"), _CHANNELS), axis=-1)


@tf.function(jit_compile=True, autograph=False)
def _crop(pixels, labels, size, affine, crop_size, outside):
    height, width = tf.unstack(size)
    row, column = (tf.range(length, dtype="float32") for length in crop_size)

    def places(line, length):
        exact = line[0] * column + (line[1] * row + line[2])[:, None]
        near = tf.clip_by_value(exact, -1.0, tf.cast(length, "float32"))  # no number too large
        return tf.cast(tf.floor(near * _ONE), "int32")

    x, y = places(affine[0], width), places(affine[1], height)

    # The mask: of the nearest pixel.
    nearest_x, nearest_y = (tf.bitwise.right_shift(place + _HALF, _BITS) for place in (x, y))
    inside = (nearest_x >= 0) & (nearest_x < width) & (nearest_y >= 0) & (nearest_y < height)
    nearest = tf.where(inside, nearest_y * width + nearest_x, 0)
    labels = tf.where(inside, tf.gather(labels, nearest), outside)

    # The image: between four pixels, those of the border repeated.
    left, right, across = _neighbors(x, width)
    upper, lower, down = _neighbors(y, height)

    def along(line):
        return _between(*(tf.gather(pixels, line * width + end) for end in (left, right)), across)

    blend = _between(along(upper), along(lower), down) + _ROUNDING
    return tf.where(inside, blend, 0), labels


@tf.function(jit_compile=True, autograph=False)
def _unpack(sums):
    grays = tf.bitwise.right_shift(sums[..., None], 2 * _BITS + _CHANNELS)
    return tf.cast(tf.bitwise.bitwise_and(grays, 255), "uint8")


def _neighbors(place, length):
    """The whole numbers on either side, and the way from the first to the second, 0 to 63."""
    place = tf.clip_by_value(place, 0, _ONE * (length - 1))
    first = tf.bitwise.right_shift(place, _BITS)
    way = tf.cast(tf.bitwise.bitwise_and(place, _ONE - 1), "int64")
    return first, tf.minimum(first + 1, length - 1), way


def _between(first, second, way):
    return (_ONE - way) * first + way * second
