"""Formats and sizes of encoded images, read within a graph, without decoding them.

Every format has a function that takes the bytes as a string scalar and as a uint8 vector, which
ends with `PADDING` zeros so that reading past the end of the file is a format error and not an
error of the graph. It returns `status`, a string scalar, `"ok"` or the reason why the image is
refused; the width and height; and the bytes to decode.

Loops have few steps for any file: a step takes tens of microseconds.
"""

import numpy as np
import tensorflow as tf

PADDING = 34  # the longest header with a fixed layout, that of BMP
# Types of JPEG frames that TensorFlow decodes: baseline, extended sequential, progressive.
JPEG_FRAMES = (0xC0, 0xC1, 0xC2)
# JPEG markers in the range of frames that are none: tables, extensions, arithmetic coding.
JPEG_NO_FRAMES = (0xC4, 0xC8, 0xCC)
SCAN, END_OF_IMAGE = 0xDA, 0xD9
MAX_SEGMENTS = 1024
# Compressed texts in a PNG, each of which may take 30 ms. Programs write a few.
MAX_COMPRESSED_TEXTS = 16
PNG_CHANNELS = np.array([1, 0, 3, 1, 2, 0, 4, 0])  # by color type
PNG_REST = 2**19  # bytes of metadata after the pixels, which only some programs write
MAX_GIF_STEPS, GIF_BLOCKS_PER_STEP = 2048, 1024
GIF_TRAILER = b"\x3b"

OK = "ok"
BROKEN = "The header of the image is corrupt or truncated."
TRUNCATED = "The image is truncated."
JPEG_KIND = "JPEG images with lossless or arithmetic coding or 12 bits are not supported."
SEGMENTS = f"The image has more than {MAX_SEGMENTS} segments."
TEXTS = f"The image has more than {MAX_COMPRESSED_TEXTS} compressed texts."
PIXELS = "The image has more compressed data than its pixels need."
BLOCKS = "The image has too many blocks before the end of its first frame."
BMP_KIND = "BMP images must be uncompressed, with 24 or 32 bits per pixel."

Inspected = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def png(data: tf.Tensor, octets: tf.Tensor) -> Inspected:
    """Reads the header of a PNG, counts its compressed texts and bounds its compressed pixels.

    The decoder decompresses all pixels in the file, those after the last row as well: a megabyte
    may become a gigabyte, which takes two seconds.
    """
    is_header = tf.strings.substr(data, 8, 8) == b"\0\0\0\x0dIHDR"
    # zTXt and iTXt, counted in the whole file: they occur in compressed pixels by rare chance.
    name_ends = (octets[:-2] == ord("T")) & (octets[1:-1] == ord("X")) & (octets[2:] == ord("t"))
    count = tf.math.count_nonzero(name_ends)
    width, height = _big(octets, 16, 4), _big(octets, 20, 4)
    before = tf.strings.length(tf.strings.split(data, "IDAT", maxsplit=1)[0])
    compressed = tf.cast(tf.strings.length(data) - before, tf.int64)
    problems = [
        (~is_header, BROKEN),
        (count > MAX_COMPRESSED_TEXTS, TEXTS),
        (compressed > _longest_compressed(octets, width, height), PIXELS),
    ]
    return _first(problems), width, height, data


def _longest_compressed(octets, width, height):
    """Returns the number of bytes that the pixels of a PNG and what follows them may have.

    An encoder that compresses nothing adds an eighth at most.
    """
    channels = tf.gather(PNG_CHANNELS, tf.minimum(tf.cast(octets[25], tf.int32), 7))
    width, height = (tf.minimum(side, 2**20) for side in (width, height))  # products may overflow
    row = 1 + (width * channels * tf.cast(octets[24], tf.int64) + 7) // 8
    return 9 * height * row // 8 + PNG_REST


def _first(problems):
    """Returns the reason of the first problem that a file has, `OK` if it has none."""
    status = tf.constant(OK)
    for has_problem, reason in reversed(problems):
        status = tf.where(has_problem, reason, status)
    return status


def bmp(data: tf.Tensor, octets: tf.Tensor) -> Inspected:
    """Reads the header of a BMP and removes what follows its pixels, which the decoder rejects."""
    bits, compression = _little(octets, 28, 2), _little(octets, 30, 4)
    kind = ((bits == 24) | (bits == 32)) & (compression == 0) & (_little(octets, 14, 4) >= 40)
    width, height = _little(octets, 18, 4), _little(octets, 22, 4)
    # The height is negative if rows are stored from top to bottom.
    height = tf.minimum(height, 2**32 - height)
    size = tf.size(octets, tf.int64)
    row = tf.minimum((width * bits + 31) // 32 * 4, size)  # bounded, as products may overflow
    end = tf.minimum(_little(octets, 10, 4) + row * tf.minimum(height, size), size)
    pixels = tf.strings.substr(data, 0, tf.cast(end, tf.int32))
    return tf.where(kind, OK, BMP_KIND), width, height, pixels


def jpeg(data: tf.Tensor, octets: tf.Tensor, max_scans: int) -> Inspected:
    """Walks the segments of a JPEG to its end. The frame contains the size.

    Args:
        data: string scalar.
        octets: uint8 vector.
        max_scans: the maximum number of scans. A decoder processes all blocks in every scan, even
            if the scan has a few bytes only.
    """
    markers = _jpeg_markers(octets)
    last = tf.size(markers) - 1  # one past the end of the file

    def next_marker(at):
        return markers[tf.minimum(tf.searchsorted(markers, at[None])[0], last)]

    def step(at, frame, scans):
        code = tf.cast(octets[at + 1], tf.int32)
        others = tf.reduce_any([code == other for other in JPEG_NO_FRAMES])
        is_frame = (code >= 0xC0) & (code <= 0xCF) & ~others
        frame = tf.where((frame == 0) & is_frame, at, frame)
        scans += tf.cast(code == SCAN, tf.int32)
        length = tf.maximum(tf.cast(_big(octets, at + 2, 2), tf.int32), 2)
        # After a scan, the next marker follows its data.
        return next_marker(tf.minimum(at + 2 + length, markers[-1])), frame, scans

    def is_unfinished(at, frame, scans):
        return (at < markers[-1]) & (octets[at + 1] != END_OF_IMAGE) & (scans <= max_scans)

    start = (next_marker(tf.constant(2)), 0, 0)
    at, frame, scans = tf.while_loop(is_unfinished, step, start, maximum_iterations=MAX_SEGMENTS)
    kind = tf.cast(octets[frame + 1], tf.int32)
    is_decodable = tf.reduce_any([kind == code for code in JPEG_FRAMES]) & (octets[frame + 4] == 8)
    problems = [
        (scans > max_scans, f"The image has more than {max_scans} scans."),
        (is_unfinished(at, frame, scans), SEGMENTS),
        (frame == 0, BROKEN),
        (~is_decodable, JPEG_KIND),
        (at >= markers[-1], TRUNCATED),
    ]
    return _first(problems), _big(octets, frame + 7, 2), _big(octets, frame + 5, 2), data


def gif(data: tf.Tensor, octets: tf.Tensor) -> Inspected:
    """Walks the blocks of a GIF to the end of its first frame and truncates the file there.

    The decoder would hold all frames in memory.
    """
    end = tf.size(octets) - PADDING

    def skip_blocks(at, steps):
        """Returns the position after a list of sub-blocks, which ends with a length of zero.

        A step skips sub-blocks of one length: encoders write 255 bytes in all but the last.
        """

        def step(at, steps):
            length = tf.cast(octets[at], tf.int32) + 1
            lengths = octets[at : tf.minimum(at + GIF_BLOCKS_PER_STEP * length, end) : length]
            same = tf.argmin(tf.concat([lengths == octets[at], [False]], 0), output_type=tf.int32)
            return tf.minimum(at + same * length, end), steps + 1

        at, steps = tf.while_loop(
            lambda at, steps: (at < end) & (octets[at] > 0) & (steps < MAX_GIF_STEPS),
            step,
            (tf.minimum(at, end), steps),
        )
        return at + 1, steps

    def colors(at):
        """Returns the size in bytes of the color table according to the flags at `at`."""
        flags = tf.cast(octets[at], tf.int32)
        return tf.where(flags >= 0x80, 3 * 2 ** ((flags & 7) + 1), 0)

    def skip_extension(at, steps):
        at, steps = skip_blocks(at + 2, steps + 1)
        return tf.minimum(at, end), steps

    frame, steps = tf.while_loop(
        lambda at, steps: (at < end) & (octets[at] == 0x21) & (steps < MAX_GIF_STEPS),
        skip_extension,
        (tf.minimum(13 + colors(10), end), 0),
    )
    found = (frame + 10 < end) & (octets[frame] == 0x2C)
    frame = tf.where(found, frame, 0)
    last, steps = skip_blocks(frame + 10 + colors(frame + 9) + 1, steps)
    status = tf.where(found & (last <= end), OK, BROKEN)
    status = tf.where(steps >= MAX_GIF_STEPS, BLOCKS, status)
    width = tf.maximum(_little(octets, frame + 5, 2), _little(octets, 6, 2))
    height = tf.maximum(_little(octets, frame + 7, 2), _little(octets, 8, 2))
    return status, width, height, tf.strings.substr(data, 0, last) + GIF_TRAILER


def _jpeg_markers(octets):
    """Returns the positions of markers, and as the last element the end of the file.

    Within the data of a scan, 0xFF is followed by 0 or belongs to a restart marker.
    """
    first, second = octets[:-1], octets[1:]
    restart = (second >= 0xD0) & (second <= 0xD7)
    is_marker = (first == 0xFF) & (second != 0) & (second != 0xFF) & ~restart
    positions = tf.cast(tf.where(is_marker)[:, 0], tf.int32)
    return tf.concat([positions, [tf.size(octets) - PADDING]], 0)


def _little(octets, at, count):
    """Reads a little-endian number of `count` bytes, int64."""
    return _number(octets, at, 256 ** np.arange(count))


def _big(octets, at, count):
    """Reads a big-endian number of `count` bytes, int64."""
    return _number(octets, at, 256 ** np.arange(count)[::-1])


def _number(octets, at, places):
    return tf.reduce_sum(tf.cast(octets[at : at + len(places)], tf.int64) * places)
