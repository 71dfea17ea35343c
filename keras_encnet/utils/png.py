"""Masks as PNG files whose pixels are class ids, with a palette for viewers."""

import struct
import zlib

import numpy as np
import tensorflow as tf

# Offsets in a PNG file: the color type, the checksum of the header, and the end of the header.
COLOR_TYPE, CHECKSUM, HEADER_END = 25, 29, 33
GRAYSCALE, INDEXED = 0, 3


def encode_indexed_png(mask: np.ndarray | tf.Tensor, palette: np.ndarray) -> tf.Tensor:
    """Encodes a class map as a PNG file whose pixels are class ids.

    It runs eagerly and within a `tf.function`.

    `tf.io.encode_png` writes grayscale images without a palette. An 8-bit indexed image differs
    in three places, which are patched here: the color type, the checksum of the header, and the
    palette, a chunk after the header. A CRC is linear, so changing the color type flips the same
    bits of the checksum whatever the size of the image.

    Args:
        mask: integers `(height, width)`, from 0 to `classes - 1`.
        palette: `(classes, 3)`, RGB in 0 to 255.

    Returns:
        A string scalar, the bytes of the file. PNG palettes hold 256 colors at most: with more
        classes the file is 16-bit grayscale.
    """
    palette = np.asarray(palette, "uint8")
    if len(palette) > 256:
        return tf.io.encode_png(tf.cast(mask, tf.uint16)[..., None])
    png = tf.io.encode_png(tf.cast(mask, tf.uint8)[..., None])
    checksum = tf.io.decode_raw(tf.strings.substr(png, CHECKSUM, 4), tf.uint8)
    checksum = tf.bitwise.bitwise_xor(checksum, np.frombuffer(_flipped_bits(), "uint8"))
    return tf.strings.join(
        [
            tf.strings.substr(png, 0, COLOR_TYPE),
            bytes([INDEXED]),
            tf.strings.substr(png, COLOR_TYPE + 1, CHECKSUM - COLOR_TYPE - 1),
            tf.strings.reduce_join(tf.gather(_BYTES, tf.cast(checksum, tf.int32))),
            _chunk(b"PLTE", palette.tobytes()),
            tf.strings.substr(png, HEADER_END, -1),
        ]
    )


# TensorFlow has no inverse of `decode_raw`.
_BYTES = np.array([bytes([i]) for i in range(256)], dtype=object)


def _flipped_bits():
    """Returns the change of the header's checksum when the color type becomes indexed."""
    grayscale, indexed = (
        zlib.crc32(b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, color_type, 0, 0, 0))
        for color_type in (GRAYSCALE, INDEXED)
    )
    return struct.pack(">I", grayscale ^ indexed)


def _chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum
