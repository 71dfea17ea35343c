"""Decoding of image files within a graph, with limits.

A graph cannot catch errors of TensorFlow's decoder, which would fail all images of a batch.
Therefore format and size are first read from the header, and files that cannot or should not be
decoded get a status message instead.
"""

import dataclasses

import numpy as np
import tensorflow as tf

# Length of the longest header with a fixed layout, that of BMP.
HEADER = 34
# Maximum steps of the search for the size of a JPEG and the end of the first frame of a GIF.
MAX_SEGMENTS, MAX_GIF_BLOCKS = 256, 100_000
# Types of frames that TensorFlow decodes: baseline, extended sequential, progressive.
JPEG_FRAMES = (0xC0, 0xC1, 0xC2)
# Markers in the same range that are not frames: tables, extensions, arithmetic coding.
JPEG_NO_FRAMES = (0xC4, 0xC8, 0xCC)
GIF_TRAILER = b"\x3b"

OK = "ok"
NO_IMAGE = "Not a JPEG, PNG, GIF or BMP image."
EMPTY = "No bytes."
BROKEN = "The header of the image is corrupt or truncated."
JPEG_KIND = "JPEG images with lossless or arithmetic coding or 12 bits are not supported."
BMP_KIND = "BMP images must be uncompressed, with 24 or 32 bits per pixel."


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on one request, which bound memory and time.

    Args:
        images: Maximum number of encoded images per request.
        bytes: Maximum number of bytes per encoded image.
        pixels: Maximum number of pixels per encoded image.
        side: Maximum number of pixels per side of an image.
        tensor_pixels: Maximum number of pixels in all images of a tensor, which the network
            processes without resizing.
    """

    images: int = 16
    bytes: int = 32 * 2**20
    pixels: int = 4096 * 4096
    side: int = 32768
    tensor_pixels: int = 2048 * 2048


def inspect(data: tf.Tensor, limits: Limits) -> tuple[tf.Tensor, tf.Tensor]:
    """Checks format and size in the header of an encoded image.

    Args:
        data: string scalar, the bytes.
        limits: `Limits`.

    Returns:
        `status`, a string scalar, `"ok"` or the reason why the image is refused; and `data`, the
        bytes to decode. A GIF is truncated after the first frame, since the decoder would hold
        all frames in memory.
    """
    length = tf.strings.length(data)
    # Padded with zeros, so that reading past the end is a format error and not a graph error.
    readable = tf.strings.substr(data, 0, tf.minimum(length, limits.bytes))
    octets = tf.concat([tf.io.decode_raw(readable, tf.uint8), tf.zeros(HEADER, tf.uint8)], 0)

    def starts_with(prefix):
        return tf.strings.substr(data, 0, len(prefix)) == prefix

    def png():
        is_header = tf.strings.substr(data, 8, 8) == b"\0\0\0\x0dIHDR"
        return tf.where(is_header, OK, BROKEN), _big(octets, 16, 4), _big(octets, 20, 4), data

    def bmp():
        bits, compression = _little(octets, 28, 2), _little(octets, 30, 4)
        kind = ((bits == 24) | (bits == 32)) & (compression == 0) & (_little(octets, 14, 4) >= 40)
        # The height is negative if rows are stored from top to bottom.
        height = _little(octets, 22, 4)
        height = tf.minimum(height, 2**32 - height)
        return tf.where(kind, OK, BMP_KIND), _little(octets, 18, 4), height, data

    cases = [
        (length == 0, lambda: _refused(EMPTY, data)),
        (length > limits.bytes, lambda: _refused(_too_long(length, limits), data)),
        (starts_with(b"\xff\xd8\xff"), lambda: (*_jpeg_size(octets), data)),
        (starts_with(b"\x89PNG\r\n\x1a\n"), png),
        (starts_with(b"GIF87a") | starts_with(b"GIF89a"), lambda: _gif_frame(octets, data)),
        (starts_with(b"BM"), bmp),
    ]
    status, width, height, data = tf.case(cases, default=lambda: _refused(NO_IMAGE, data))
    has_pixels = (width > 0) & (height > 0)
    too_large = (width > limits.side) | (height > limits.side) | (width * height > limits.pixels)
    status = tf.where((status == OK) & ~has_pixels, BROKEN, status)
    status = tf.where((status == OK) & too_large, _too_large(width, height, limits), status)
    return status, data


def decode(data: tf.Tensor) -> tf.Tensor:
    """Decodes an image that `inspect` accepted: uint8 `(height, width, 3)`, RGB."""
    is_bmp = tf.strings.substr(data, 0, 2) == b"BM"
    image = tf.cond(
        is_bmp,
        # TensorFlow cannot decode a BMP with four channels to three.
        lambda: tf.io.decode_bmp(data)[..., :3],
        lambda: tf.io.decode_image(data, 3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


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


def _little(octets, at, count):
    """Reads a little-endian number of `count` bytes, int64."""
    return _number(octets, at, 256 ** np.arange(count))


def _big(octets, at, count):
    """Reads a big-endian number of `count` bytes, int64."""
    return _number(octets, at, 256 ** np.arange(count)[::-1])


def _number(octets, at, places):
    return tf.reduce_sum(tf.cast(octets[at : at + len(places)], tf.int64) * places)


def _jpeg_size(octets):
    """Walks the segments of a JPEG to the frame, which contains the size."""
    end = tf.size(octets) - HEADER

    def marker(at):
        return tf.cast(octets[at + 1], tf.int32)

    def is_frame(at):
        code = marker(at)
        others = tf.reduce_any([code == other for other in JPEG_NO_FRAMES])
        return (code >= 0xC0) & (code <= 0xCF) & ~others

    def has_next(at):
        return (at + 4 <= end) & (octets[at] == 0xFF) & ~is_frame(at)

    def step(at):
        # A marker may be preceded by any number of 0xFF bytes.
        length = 2 + tf.maximum(tf.cast(_big(octets, at + 2, 2), tf.int32), 2)
        return (tf.minimum(at + tf.where(marker(at) == 0xFF, 1, length), end),)

    [at] = tf.while_loop(has_next, step, (2,), maximum_iterations=MAX_SEGMENTS)
    found = (at + 10 <= end) & (octets[at] == 0xFF) & is_frame(at)
    kind = tf.reduce_any([marker(at) == code for code in JPEG_FRAMES]) & (octets[at + 4] == 8)
    status = tf.where(found, tf.where(kind, OK, JPEG_KIND), BROKEN)
    return status, _big(octets, at + 7, 2), _big(octets, at + 5, 2)


def _gif_frame(octets, data):
    """Walks the blocks of a GIF to the end of its first frame and truncates it there."""
    end = tf.size(octets) - HEADER

    def colors(at):
        """Returns the size in bytes of the color table according to the flags at `at`."""
        flags = tf.cast(octets[at], tf.int32)
        return tf.where(flags >= 0x80, 3 * 2 ** ((flags & 7) + 1), 0)

    def skip_blocks(at):
        """Returns the position after a list of sub-blocks, which ends with a length of zero."""
        [at] = tf.while_loop(
            lambda at: (at < end) & (octets[at] > 0),
            lambda at: (tf.minimum(at + 1 + tf.cast(octets[at], tf.int32), end),),
            (tf.minimum(at, end),),
            maximum_iterations=MAX_GIF_BLOCKS,
        )
        return tf.where(octets[at] == 0, at, end) + 1

    [frame] = tf.while_loop(
        lambda at: (at < end) & (octets[at] == 0x21),  # extensions
        lambda at: (tf.minimum(skip_blocks(at + 2), end),),
        (tf.minimum(13 + colors(10), end),),
        maximum_iterations=MAX_SEGMENTS,
    )
    found = (frame + 10 < end) & (octets[frame] == 0x2C)
    frame = tf.where(found, frame, 0)
    last = skip_blocks(frame + 10 + colors(frame + 9) + 1)
    width = tf.maximum(_little(octets, frame + 5, 2), _little(octets, 6, 2))
    height = tf.maximum(_little(octets, frame + 7, 2), _little(octets, 8, 2))
    status = tf.where(found & (last <= end), OK, BROKEN)
    return status, width, height, tf.strings.substr(data, 0, last) + GIF_TRAILER
