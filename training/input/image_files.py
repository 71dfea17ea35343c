"""Decoding of images and masks: within `tf.data` pipelines (`decode_*`), and into NumPy (`read_*`).

A mask is a PNG whose pixels are class ids: one channel of 1 to 16 bits, or indices into a palette.
"""

import os
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bytes 24 and 25 of a PNG are the bit depth and the color type.
_COLOR_TYPES = {0: "gray", 2: "RGB", 3: "palette", 4: "gray and alpha", 6: "RGBA"}
_GRAY, _PALETTE = 0, 3
# A CRC is linear in the bits of its data: changing the color type from palette to gray flips the
# same bits of it in every file. The header chunk has 17 bytes, the color type is its 14th.
_PALETTE_HEADER = bytes(13) + bytes([_PALETTE]) + bytes(3)
_PALETTE_TO_GRAY = (zlib.crc32(_PALETTE_HEADER) ^ zlib.crc32(bytes(17))).to_bytes(4, "big")
_ALL_BYTES = tuple(bytes([i]) for i in range(256))


def decode_image(path: str | tf.Tensor) -> tf.Tensor:
    """Reads a JPEG, PNG or BMP as a `uint8` tensor of shape `(height, width, 3)`.

    Gray images get three equal channels; an alpha channel is dropped. Palettes are supported in
    PNG files, but not in BMP files, which `training.check_data` reports.
    """
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def decode_mask(path: str | tf.Tensor) -> tf.Tensor:
    """Reads the class ids of a mask as an `int32` tensor of shape `(height, width)`.

    Same result as `read_mask`, but with TensorFlow operations only: a Python function in an endless
    pipeline can deadlock when the process exits, as the pipeline's thread and the interpreter then
    wait for each other.

    Raises:
        tf.errors.InvalidArgumentError: If the PNG has several channels.
    """
    png = tf.io.read_file(path)
    depth, color = tf.unstack(tf.ensure_shape(_bytes(png, 24, 2), (2,)))
    tf.debugging.Assert(
        tf.reduce_any(color == (_GRAY, _PALETTE)),
        ["A mask must be a PNG with one channel or a palette. Received:", path],
    )
    # TensorFlow would decode a palette to its colors. With the color type set to gray, and without
    # the chunks between the header and the pixels (the palette is one of them), it decodes the
    # same file to the indices.
    checksum = tf.gather(
        _ALL_BYTES, tf.bitwise.bitwise_xor(_bytes(png, 29, 4), tuple(_PALETTE_TO_GRAY))
    )
    gray = [tf.strings.substr(png, 0, 25), b"\0", tf.strings.substr(png, 26, 3)]
    header = tf.where(
        color == _PALETTE,
        tf.strings.join([*gray, tf.strings.reduce_join(checksum)]),
        tf.strings.substr(png, 0, 33),
    )
    chunks, pixels = tf.unstack(tf.strings.split(png, "IDAT", maxsplit=1), num=2)
    length = tf.strings.substr(chunks, -4, 4)
    shades = tf.io.decode_png(
        tf.strings.join([header, length, "IDAT", pixels]), channels=1, dtype="uint16"
    )
    # Decoding to 16 bits scales lower depths up; the leading bits are the id.
    ids = tf.bitwise.right_shift(shades[..., 0], tf.cast(16 - depth, "uint16"))
    return tf.cast(ids, "int32")


def read_mask(path: str | bytes | os.PathLike) -> np.ndarray:
    """Reads the class ids of a mask as an `int32` array of shape `(height, width)`.

    Same result as `decode_mask`, but with Pillow, which reports what is wrong with a damaged file.

    Raises:
        OSError: If the file is missing or truncated.
        ValueError: If it is not a PNG, or has several channels.
    """
    path = os.fsdecode(path)
    with open(path, "rb") as file:
        header = file.read(26)
        if len(header) < 26 or not header.startswith(_PNG_SIGNATURE):
            raise ValueError(f"A mask must be a PNG file. Received: path={path!r}")
        depth, color = header[24], header[25]
        if color not in (_GRAY, _PALETTE):
            raise ValueError(
                "A mask must be a PNG with one channel or a palette. "
                f"Received: path={path!r} with {_COLOR_TYPES.get(color, 'unknown')} pixels"
            )
        ids = np.asarray(Image.open(file, formats=["PNG"]), "int32")
    if color == _GRAY and depth in (2, 4):
        ids = ids // (255 // (2**depth - 1))  # Pillow scales these depths to 0..255
    return ids


def _bytes(string, start, length):
    return tf.cast(tf.io.decode_raw(tf.strings.substr(string, start, length), "uint8"), "int32")
