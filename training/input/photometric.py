"""Random changes of brightness, contrast, saturation and hue, blur and noise of training images.

The first four are one affine map of the color of a pixel, as flip, scale and rotation are one of
its position (`training.input.augmentation`).
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from training.configs.photometric import KINDS, Photometric

# ITU-R BT.601: the luminance of a color, and two axes of its hue (YIQ, as in analog television).
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_TO_RGB = np.linalg.inv(_YIQ)
# A color is its gray plus its chroma; the third matrix turns the hue of the chroma by 90 degrees.
_GRAY, _CHROMA, _TURNED = (
    (_TO_RGB @ np.array(part, float) @ _YIQ).astype("float32")
    for part in (np.diag([1, 0, 0]), np.diag([0, 1, 1]), [[0, 0, 0], [0, 0, -1], [0, 1, 0]])
)
# Gaussian weights beyond this many standard deviations are left out.
_EXTENT = 3


def distort(
    image: tf.Tensor, inside: tf.Tensor, photometric: Photometric, seed: tf.Tensor
) -> tf.Tensor:
    """Changes colors and contrast of an image at random, blurs it and adds noise.

    With factors b, c and s of brightness, contrast and saturation, an angle h of the hue, the color
    x of a pixel and the mean color m of the image,

        x = b * H(s, h) * (m + c * (x - m))

    where H scales the chroma of a color, its difference from gray of the same luminance, by s and
    rotates it by h. A Gaussian blur and noise follow. The factors are uniform within the strengths
    of `photometric`. Values are then clipped to their range: 0 to 255 for integers, otherwise the
    smallest and largest value of each channel in the image.

    Args:
        image: `uint8` or `float32` tensor of known shape `(height, width, channels)`.
        inside: `bool` tensor `(height, width)`. Other pixels are not part of the image: they are 0,
            do not count in means and do not blur into the image.
        photometric: a `Photometric`; strengths of 0 change nothing, bit for bit.
        seed: Integer tensor of shape `(2,)`, the only source of randomness.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        ValueError: If saturation or hue is to be changed in images without 3 channels.
    """
    strengths = {kind: float(getattr(photometric, kind)) for kind in KINDS}
    if not any(strengths.values()):
        return image
    for kind in ("saturation", "hue"):
        if strengths[kind] and image.shape[-1] != 3:
            raise ValueError(
                f"`--{kind}` requires RGB images: set it to 0. Received: {kind}={strengths[kind]} "
                f"for images of {image.shape[-1]} channels"
            )
    # Other random numbers than those of the geometry, which therefore stays the same.
    seeds = [tf.random.fold_in(seed, i) for i in (1, 2)]
    changes = tf.random.stateless_uniform((len(KINDS),), seeds[0], -1.0, 1.0)
    changes *= tf.constant(list(strengths.values()))
    pattern = _normal(image.shape, seeds[1]) if strengths["noise"] else 0.0
    radius = math.ceil(_EXTENT * strengths["blur"])
    return _distorted(image, inside, changes, pattern, radius, image.shape[-1] == 3)


def _normal(shape, seed):
    """Returns standard normal numbers of at most 4.9, in half the time of `stateless_normal`."""
    return _quantile(tf.random.stateless_uniform(shape, seed, -1.0, 1.0))


@tf.function(jit_compile=True, autograph=False)
def _quantile(uniform):
    return math.sqrt(2.0) * tf.math.erfinv(0.999999 * uniform)  # finite


@tf.function(jit_compile=True, autograph=False)
def _distorted(image, inside, changes, pattern, radius, colored):
    brightness, contrast, saturation, hue, blur, noise = tf.unstack(changes)
    pixels, inside = tf.cast(image, tf.float32), inside[..., None]
    low, high = _range(image, inside)

    mean = _sum(tf.where(inside, pixels, 0.0)) / tf.maximum(_sum(tf.cast(inside, tf.float32)), 1.0)
    pixels = mean + (1.0 + contrast) * (pixels - mean)
    if colored:
        angle = 2.0 * math.pi * hue
        turned = tf.cos(angle) * _CHROMA + tf.sin(angle) * _TURNED
        matrix = _GRAY + (1.0 + saturation) * turned
        pixels = tf.stack([_sum(pixels * row, -1) for row in tf.unstack(matrix)], -1)
    pixels *= 1.0 + brightness
    if radius:
        weight = _blurred(tf.cast(inside, tf.float32), tf.abs(blur), radius)
        pixels = _blurred(tf.where(inside, pixels, 0.0), tf.abs(blur), radius) / weight
    pixels = tf.clip_by_value(pixels + tf.abs(noise) * (high - low) * pattern, low, high)
    if image.dtype.is_integer:
        pixels = tf.round(pixels)
    return tf.cast(tf.where(inside, pixels, 0.0), image.dtype)


def _sum(values, axis=(0, 1)):
    return tf.reduce_sum(values, axis)


def _range(image, inside):
    """Returns the smallest and the largest value, of each channel if the image is of floats."""
    if image.dtype.is_integer:
        return float(image.dtype.min), float(image.dtype.max)
    low = tf.reduce_min(tf.where(inside, image, image.dtype.max), (0, 1))
    return low, tf.reduce_max(tf.where(inside, image, image.dtype.min), (0, 1))


def _blurred(pixels, deviation, radius):
    """Applies a Gaussian blur to rows and columns, with zeros outside."""
    offsets = np.arange(-radius, radius + 1)
    weights = tf.exp(-0.5 * tf.square(offsets / tf.maximum(deviation, 1e-3)))
    for axis in (0, 1):
        padded = tf.pad(pixels, [(radius * (i == axis),) * 2 for i in range(3)])
        starts = [[offset * (i == axis) for i in range(3)] for offset in range(2 * radius + 1)]
        shifted = [tf.slice(padded, start, pixels.shape) for start in starts]
        pixels = sum(
            weight * each for weight, each in zip(tf.unstack(weights), shifted, strict=True)
        )
    return pixels
