"""Encoded images within the graph: what the header says, limits, and pixels.

A graph can't catch an error of TensorFlow's decoder, which would fail all images of a batch. So
format and size are read from the file first, and what can't or shouldn't be decoded never gets
there: it is answered with a sentence.
"""

import dataclasses

import numpy as np
import tensorflow as tf

# Longest header of fixed layout: BMP's.
HEADER = 34
# Steps that the search for a JPEG's size or for the end of a GIF's first frame may take.
MAX_SEGMENTS, MAX_GIF_BLOCKS = 256, 100_000
# Frames whose size TensorFlow decodes: baseline, extended sequential, progressive.
JPEG_FRAMES = (0xC0, 0xC1, 0xC2)
# Markers in their range that stand for something else: tables, extensions, arithmetic coding.
JPEG_NO_FRAMES = (0xC4, 0xC8, 0xCC)
GIF_TRAILER = b"\x3b"

OK = "ok"
NO_IMAGE = "Not a JPEG, PNG, GIF or BMP image."
EMPTY = "No bytes."
BROKEN = "The header of the image is broken or cut off."
JPEG_KIND = "This kind of JPEG (lossless, arithmetic, 12-bit) can't be decoded."
BMP_KIND = "Only uncompressed BMP images of 24 or 32 bits a pixel can be decoded."


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may ask for, which bounds memory and time.

    Args:
        images: most encoded images of a request.
        bytes: most bytes of an encoded image.
        pixels: most pixels of an encoded image.
        side: most pixels of a side.
        tensor_pixels: most pixels of all images of a request that sends them
            as a tensor: all these go through the network in their own size.
    """

    images: int = 16
    bytes: int = 32 * 2**20
    pixels: int = 4096 * 4096
    side: int = 32768
    tensor_pixels: int = 2048 * 2048


def inspect(data, limits):
    """Reads format and size from the header of an encoded image.

    Args:
        data: string scalar, the bytes.
        limits: `Limits`.

    Returns:
        `status`, a string scalar: `"ok"`, or a sentence that says why it can't
        be decoded; and `data`, the bytes to decode: a GIF ends behind its first
        frame, as the decoder would hold all frames in memory.
    """
    length = tf.strings.length(data)
    # Zeros behind the end, so that reading there is an error of the format and not of the graph.
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
        # A height is negative where rows run from above.
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


def decode(data):
    """Decodes an image that `inspect` found fit: uint8 `(height, width, 3)`, RGB."""
    is_bmp = tf.strings.substr(data, 0, 2) == b"BM"
    image = tf.cond(
        is_bmp,
        # Three channels of a BMP with four are more than TensorFlow can do.
        lambda: tf.io.decode_bmp(data)[..., :3],
        lambda: tf.io.decode_image(data, 3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


def _refused(sentence, data):
    zero = tf.zeros((), tf.int64)
    return sentence, zero, zero, data


def _too_long(length, limits):
    return tf.strings.join(
        [tf.strings.as_string(length), f" bytes are more than the {limits.bytes} taken here."]
    )


def _too_large(width, height, limits):
    size = [tf.strings.as_string(width), tf.strings.as_string(height)]
    return tf.strings.join(
        [
            tf.strings.join(size, " x "),
            f" pixels are more than the {limits.pixels} taken here, {limits.side} a side.",
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
    """Walks over the segments of a JPEG to that of the frame, which has its size."""
    end = tf.size(octets) - HEADER

    def marker(at):
        return tf.cast(octets[at + 1], tf.int32)

    def is_frame(at):
        code = marker(at)
        others = tf.reduce_any([code == other for other in JPEG_NO_FRAMES])
        return (code >= 0xC0) & (code <= 0xCF) & ~others

    def goes_on(at):
        return (at + 4 <= end) & (octets[at] == 0xFF) & ~is_frame(at)

    def step(at):
        # A marker may have more 0xFF before it than the one that it needs.
        length = 2 + tf.maximum(tf.cast(_big(octets, at + 2, 2), tf.int32), 2)
        return (tf.minimum(at + tf.where(marker(at) == 0xFF, 1, length), end),)

    [at] = tf.while_loop(goes_on, step, (2,), maximum_iterations=MAX_SEGMENTS)
    found = (at + 10 <= end) & (octets[at] == 0xFF) & is_frame(at)
    kind = tf.reduce_any([marker(at) == code for code in JPEG_FRAMES]) & (octets[at + 4] == 8)
    status = tf.where(found, tf.where(kind, OK, JPEG_KIND), BROKEN)
    return status, _big(octets, at + 7, 2), _big(octets, at + 5, 2)


def _gif_frame(octets, data):
    """Walks over the blocks of a GIF to the end of its first frame, and cuts it there."""
    end = tf.size(octets) - HEADER

    def colors(at):
        """Bytes of the color table that the flags at `at` announce."""
        flags = tf.cast(octets[at], tf.int32)
        return tf.where(flags >= 0x80, 3 * 2 ** ((flags & 7) + 1), 0)

    def skip_blocks(at):
        """Goes over sub-blocks, a length and so many bytes each, to behind the length of zero."""
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
