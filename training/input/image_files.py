"""Decoding of images and masks: within `tf.data` pipelines (`decode_*`), and into NumPy (`read_*`).

A mask is a PNG whose pixels are class ids: one channel of 1 to 16 bits, or indices into a palette.
"""

import os

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_encnet.utils.png import COLOR_TYPE, GRAYSCALE, HEADER_END, INDEXED, toggle_palette

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
BIT_DEPTH = 24  # offset in a PNG file, before the color type
_COLOR_TYPES = {0: "gray", 2: "RGB", 3: "palette", 4: "gray and alpha", 6: "RGBA"}


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
    depth, color = (
        tf.cast(tf.io.decode_raw(tf.strings.substr(png, offset, 1), "uint8")[0], "int32")
        for offset in (BIT_DEPTH, COLOR_TYPE)
    )
    tf.debugging.Assert(
        tf.reduce_any(color == (GRAYSCALE, INDEXED)),
        ["A mask must be a PNG with one channel or a palette. Received:", path],
    )
    # TensorFlow would decode a palette to its colors. With the color type set to grayscale, and
    # without the chunks between the header and the pixels (the palette is one of them), it decodes
    # the same file to the indices.
    header = tf.strings.substr(png, 0, HEADER_END)
    header = tf.where(color == INDEXED, toggle_palette(header), header)
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
        depth, color = header[BIT_DEPTH], header[COLOR_TYPE]
        if color not in (GRAYSCALE, INDEXED):
            raise ValueError(
                "A mask must be a PNG with one channel or a palette. "
                f"Received: path={path!r} with {_COLOR_TYPES.get(color, 'unknown')} pixels"
            )
        ids = np.asarray(Image.open(file, formats=["PNG"]), "int32")
    if color == GRAYSCALE and depth in (2, 4):
        ids = ids // (255 // (2**depth - 1))  # Pillow scales these depths to 0..255
    return ids
