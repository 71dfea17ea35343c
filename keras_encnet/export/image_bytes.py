"""Decoding of image files within a graph: a file that cannot be decoded gets a status message."""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from keras_encnet.export import image_headers
from keras_encnet.export.image_headers import BROKEN, OK

NO_IMAGE = "Not a JPEG, PNG, GIF or BMP image."
EMPTY = "No bytes."
CORRUPT = "The image is corrupt or truncated."


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on one request, which bound memory and time.

    Args:
        images: Maximum number of encoded images per request.
        bytes: Maximum number of bytes per encoded image.
        pixels: Maximum number of pixels per encoded image.
        side: Maximum number of pixels per side of an image.
        scans: Maximum number of scans of a JPEG. Decoders process all pixels in every scan, even
            in an empty one; a progressive JPEG usually has about ten.
        tensor_pixels: Maximum number of pixels in all images of a tensor, which the network
            processes without resizing.
    """

    images: int = 16
    bytes: int = 32 * 2**20
    pixels: int = 4096 * 4096
    side: int = 32768
    scans: int = 64
    tensor_pixels: int = 2048 * 2048


def read(data: tf.Tensor, limits: Limits, channels: int = 3) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes an encoded image, or returns why it is refused.

    Args:
        data: string scalar, the bytes.
        limits: `Limits`.
        channels: as of `decode`.

    Returns:
        `status`, a string scalar, `"ok"` or the reason why the image is refused; and the image,
        uint8 `(height, width, channels)`. A refused image is one black pixel.
    """
    status, data = inspect(data, limits)
    image = tf.cond(
        status == OK, lambda: decode_or_none(data, channels), lambda: _no_image(channels)
    )
    status = tf.where((status == OK) & (tf.size(image) == 0), CORRUPT, status)
    black = tf.zeros((1, 1, channels), tf.uint8)
    return status, tf.cond(status == OK, lambda: image, lambda: black)


def inspect(data: tf.Tensor, limits: Limits) -> tuple[tf.Tensor, tf.Tensor]:
    """Checks format, size and structure of an encoded image without decoding it.

    Args:
        data: string scalar, the bytes.
        limits: `Limits`.

    Returns:
        `status`, a string scalar, `"ok"` or the reason why the image is refused; and `data`, the
        bytes to decode. A GIF is truncated after the first frame.
    """
    length = tf.strings.length(data)
    readable = tf.strings.substr(data, 0, tf.minimum(length, limits.bytes))
    padding = tf.zeros(image_headers.PADDING, tf.uint8)
    octets = tf.concat([tf.io.decode_raw(readable, tf.uint8), padding], 0)

    def starts_with(prefix):
        return tf.strings.substr(data, 0, len(prefix)) == prefix

    formats: list[tuple[tf.Tensor, Callable[..., image_headers.Inspected]]] = [
        (
            starts_with(b"\xff\xd8\xff"),
            functools.partial(image_headers.jpeg, max_scans=limits.scans),
        ),
        (starts_with(b"\x89PNG\r\n\x1a\n"), image_headers.png),
        (starts_with(b"GIF87a") | starts_with(b"GIF89a"), image_headers.gif),
        (starts_with(b"BM"), image_headers.bmp),
    ]
    cases = [
        (length == 0, lambda: _refused(EMPTY, data)),
        (length > limits.bytes, lambda: _refused(_too_long(length, limits), data)),
        *((is_format, functools.partial(header, data, octets)) for is_format, header in formats),
    ]
    status, width, height, data = tf.case(cases, default=lambda: _refused(NO_IMAGE, data))
    has_pixels = (width > 0) & (height > 0)
    too_large = (width > limits.side) | (height > limits.side) | (width * height > limits.pixels)
    status = tf.where((status == OK) & ~has_pixels, BROKEN, status)
    status = tf.where((status == OK) & too_large, _too_large(width, height, limits), status)
    return status, data


def decode(data: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes an image that `inspect` accepted.

    Args:
        data: string scalar, the bytes.
        channels: 3 for RGB, which drops an alpha channel and repeats gray; 1 for gray, of RGB the
            luma; 4 for RGB and the alpha channel of a PNG, 255 if it has none.

    Returns:
        uint8 `(height, width, channels)`.
    """
    if channels == 4:
        return tf.ensure_shape(tf.io.decode_png(data, 4), (None, None, 4))
    if channels == 1:
        return _gray(decode(data))
    is_bmp = tf.strings.substr(data, 0, 2) == b"BM"
    image = tf.cond(
        is_bmp,
        # TensorFlow cannot decode a BMP with four channels to three.
        lambda: tf.io.decode_bmp(data)[..., :3],
        lambda: tf.io.decode_image(data, 3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


# Weights of red, green and blue in the luma of ITU-R 601, in parts of 65536.
LUMA = (19595, 38470, 7471)


def _gray(image):
    """Returns the luma of RGB images, rounded; equal channels do not change."""
    sums = tf.reduce_sum(tf.cast(image, tf.int32) * LUMA, -1, keepdims=True)
    return tf.cast((sums + 2**15) // 2**16, tf.uint8)


def decode_or_none(data: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes an image like `decode`; an image that cannot be decoded has no pixels.

    The operations of a graph cannot catch errors, and an error would fail all images of a batch.
    The elements of a data set can be skipped if they raise one.
    """
    decoded = tf.data.Dataset.from_tensors(data).map(lambda x: decode(x, channels)).ignore_errors()
    images = decoded.concatenate(tf.data.Dataset.from_tensors(_no_image(channels))).take(1)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return images.with_options(options).get_single_element()


def _no_image(channels):
    return tf.ensure_shape(tf.zeros((0, 0, channels), tf.uint8), (None, None, channels))


def _refused(status, data):
    zero = tf.zeros((), tf.int64)
    return status, zero, zero, data


def _too_long(length, limits):
    return tf.strings.join(
        [tf.strings.as_string(length), f" bytes exceed the limit of {limits.bytes} bytes."]
    )


def _too_large(width, height, limits):
    size = [tf.strings.as_string(width), tf.strings.as_string(height)]
    return tf.strings.join(
        [
            tf.strings.join(size, " x "),
            f" pixels exceed the limit of {limits.pixels} pixels, {limits.side} per side.",
        ]
    )
