"""Images in `.npy` files: their headers, and decoding within `tf.data` pipelines.

An array is `(height, width, channels)`, or `(height, width)` for one channel, of integers of 8 or
16 bits or floats. Values are kept as they are. No pickle is read.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

SUFFIX = ".npy"
# The types of the arrays, as the header of a file names them.
TYPES = {
    "|u1": tf.uint8,
    "<u2": tf.uint16,
    "<i2": tf.int16,
    "<f2": tf.float16,
    "<f4": tf.float32,
    "<f8": tf.float64,
}
# The same limit as that of the pixels of encoded images.
LARGEST = 2**31 - 1


def is_npy(path: str | os.PathLike) -> bool:
    """Returns whether a file is a `.npy` file, by its name."""
    return Path(path).suffix.lower() == SUFFIX


def read_header(path: str | os.PathLike) -> tuple[tuple[int, int, int], np.dtype]:
    """Returns shape, `(height, width, channels)`, and type of an array without reading it.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is damaged, or is no array that an image can have.
    """
    try:
        # Maps the file, which also checks its size.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, TypeError, SyntaxError) as error:
        raise ValueError(
            "The file is damaged, or not a `.npy` file of numbers; pickled objects are not read. "
            f"Received: path={str(path)!r}"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(
            "The file is an archive of arrays. Write each image with `numpy.save`. "
            f"Received: path={str(path)!r}"
        )
    shape = array.shape if array.ndim != 2 else (*array.shape, 1)
    if len(shape) != 3 or 0 in shape or array.size > LARGEST:
        raise ValueError(
            "An array must be `(height, width, channels)`, or `(height, width)` for one channel, "
            f"with 1 to {LARGEST:,} values. Received: path={str(path)!r} of shape {array.shape}"
        )
    if array.dtype.str not in TYPES:
        names = ", ".join(kind.name for kind in TYPES.values())
        raise ValueError(
            f"An array must hold numbers of one of the types {names}, little-endian: convert it "
            "with `array.astype('float32')`. "
            f"Received: path={str(path)!r} of dtype {array.dtype.str!r}"
        )
    return shape, array.dtype


def decode(data: tf.Tensor) -> tf.Tensor:
    """Decodes a file that `read_header` accepts as float32 `(height, width, channels)`.

    With TensorFlow operations only, see `training.input.image_files.decode_mask`.
    """
    octets = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 6, 6), tf.uint8), tf.int32)
    # Version 1 has a length of two bytes, later ones of four.
    is_first = octets[0] == 1
    start = tf.where(is_first, 10, 12)
    length = octets[2] + 256 * octets[3] + tf.where(is_first, 0, 65536 * octets[4])
    header = tf.strings.substr(data, start, length)
    values = tf.strings.substr(data, start + length, tf.strings.length(data))
    sides = tf.strings.regex_replace(header, r"(?s).*'shape': \(([^)]*)\).*", r"\1")
    shape = tf.strings.to_number(tf.strings.split(sides, ", "), tf.int32)
    shape = tf.cond(tf.size(shape) == 2, lambda: tf.concat([shape, [1]], 0), lambda: shape)

    def of_type(kind):
        return lambda: tf.cast(tf.io.decode_raw(values, kind), tf.float32)

    cases = [
        (tf.strings.regex_full_match(header, rf"(?s).*'descr': '[|]?{name}'.*"), of_type(kind))
        for name, kind in ((name.lstrip("|"), kind) for name, kind in TYPES.items())
    ]
    flat = tf.case(cases, default=lambda: tf.zeros((0,), tf.float32))
    is_fortran = tf.strings.regex_full_match(header, r"(?s).*'fortran_order': True.*")
    return tf.cond(
        is_fortran,
        lambda: tf.transpose(tf.reshape(flat, shape[::-1])),
        lambda: tf.reshape(flat, shape),
    )
