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
    in the color type, the checksum of the header, and the palette, a chunk after the header.

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
    return tf.strings.join(
        [
            toggle_palette(tf.strings.substr(png, 0, HEADER_END)),
            _chunk(b"PLTE", palette.tobytes()),
            tf.strings.substr(png, HEADER_END, -1),
        ]
    )


def toggle_palette(header: tf.Tensor) -> tf.Tensor:
    """Changes a PNG header from grayscale to indexed or back, including its checksum.

    A CRC is linear, so changing the color type flips the same bits of the checksum in every file.

    Args:
        header: string scalar, the first `HEADER_END` bytes of a PNG file.
    """
    flipped = np.zeros(HEADER_END, "uint8")
    flipped[COLOR_TYPE] = GRAYSCALE ^ INDEXED
    flipped[CHECKSUM:] = np.frombuffer(_flipped_checksum_bits(), "uint8")
    octets = tf.bitwise.bitwise_xor(tf.io.decode_raw(header, tf.uint8), flipped)
    return tf.strings.reduce_join(tf.gather(_BYTES, tf.cast(octets, tf.int32)))


# TensorFlow has no inverse of `decode_raw`.
_BYTES = np.array([bytes([i]) for i in range(256)], dtype=object)


def _flipped_checksum_bits():
    grayscale, indexed = (
        zlib.crc32(b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, color_type, 0, 0, 0))
        for color_type in (GRAYSCALE, INDEXED)
    )
    return struct.pack(">I", grayscale ^ indexed)


def _chunk(kind, data):
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum
