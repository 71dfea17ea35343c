"""Decoding of images and masks: within `tf.data` pipelines (`decode_*`), and into NumPy (`read_*`).

Images are decoded as in exported models, see `keras_encnet.export.image_bytes`. A mask is a PNG
whose pixels are class ids: one channel of 1 to 16 bits, or indices into a palette.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image

from keras_encnet.export import image_bytes
from keras_encnet.utils.png import COLOR_TYPE, GRAYSCALE, HEADER_END, INDEXED, toggle_palette
from training.input import npy
from training.input.image_paths import explain
from training.input.pixels import AS_RGB, Pixels, check_channels

# Numbers of channels of JPEG, PNG, GIF and BMP files.
FILE_CHANNELS = (1, 3, 4)
# Pairs of a label in a mask and the one that replaces it.
LabelMap = Sequence[tuple[int, int]]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
BIT_DEPTH = 24  # offset in a PNG file, before the color type
_COLOR_TYPES = {0: "gray", 2: "RGB", 3: "palette", 4: "gray and alpha", 6: "RGBA"}
# Pillow only reads headers here; its limit is against files from unknown sources.
Image.MAX_IMAGE_PIXELS = None
# The user's own files may be as large as TensorFlow decodes.
_LIMITS = image_bytes.Limits(bytes=2**31 - 1, pixels=2**31 - 1, side=2**31 - 1)


def decode_image(path: str | tf.Tensor, pixels: Pixels = AS_RGB) -> tf.Tensor:
    """Reads an image as a `uint8` or `float32` tensor of shape `(height, width, channels)`.

    As RGB, gray images get three equal channels, and an alpha channel is dropped; as gray, RGB
    images become their luma. Of 16 bits per channel, the upper 8 are kept; of a GIF, the first
    frame. The EXIF orientation is not applied. Values of a `.npy` file are kept as they are.

    Args:
        path: String, a JPEG, PNG, GIF, BMP or `.npy` file.
        pixels: Channels and type, see `training.input.pixels`.
    """
    data = tf.io.read_file(path)
    if not pixels.arrays:
        return image_bytes.decode(data, pixels.channels)
    array = functools.partial(npy.decode, data)
    if pixels.channels in FILE_CHANNELS:
        is_array = tf.strings.regex_full_match(path, r"(?is).*\.npy")
        image = tf.cond(is_array, array, lambda: _as_float(data, pixels.channels))
    else:
        image = array()
    return tf.cast(tf.ensure_shape(image, (None, None, pixels.channels)), pixels.dtype)


def _as_float(data, channels):
    return tf.cast(image_bytes.decode(data, channels), tf.float32)


def read_image(path: str | os.PathLike, channels: int = 3) -> np.ndarray:
    """Reads an image as an array of shape `(height, width, channels)`.

    Same values as those of `decode_image`, but errors state the file and what is wrong with it.

    Args:
        path: Path of the image.
        channels: Integer, the number of channels.

    Returns:
        A `uint8` array; `float32` from a `.npy` file of another type.

    Raises:
        OSError: If the file is missing.
        ValueError: If it cannot be decoded, or has another number of channels.
    """
    if npy.is_npy(path) or channels not in (1, 3):
        check_channels(path, channels)
    if npy.is_npy(path):
        return _read_array(path)
    status, image = _encoded_reader(channels)(tf.constant(Path(path).read_bytes()))
    status = status.numpy().decode()
    if status != image_bytes.OK:
        raise ValueError(f"{explain(status)} Received: path={str(path)!r}")
    return image.numpy()


def _read_array(path):
    array = np.load(path, allow_pickle=False)
    array = array if array.dtype == np.uint8 else array.astype("float32")
    if not np.isfinite(array).all():
        raise ValueError(
            "An array must be finite: replace missing values, and ignore their pixels in the mask. "
            f"Received: path={str(path)!r} with NaN or infinite values"
        )
    return array[..., None] if array.ndim == 2 else array


@functools.cache
def _encoded_reader(channels):
    """Returns the decoder of exported models, traced before threads share it."""
    reader = tf.function(lambda data: image_bytes.read(data, _LIMITS, channels))
    return reader.get_concrete_function(tf.TensorSpec((), tf.string))


def exif_orientation(path: str | os.PathLike) -> int:
    """Returns the EXIF orientation of an image, 1 to 8; 1 if it has none.

    Viewers and annotation tools rotate or mirror the stored pixels accordingly; the decoders here
    and in exported models do not.

    Raises:
        OSError: If Pillow cannot read the image.
    """
    if npy.is_npy(path):
        return 1
    with Image.open(path) as image:
        try:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        except SyntaxError:  # of Pillow, for damaged EXIF data, which viewers ignore
            return 1
    return orientation if orientation in range(1, 9) else 1


def largest_16_bit_value(path: str | os.PathLike) -> int | None:
    """Returns the largest value in an image with 16 bits per channel, None for other images."""
    data = Path(path).read_bytes()
    if npy.is_npy(path) or not data.startswith(_PNG_SIGNATURE) or data[BIT_DEPTH] != 16:
        return None
    return int(tf.reduce_max(tf.io.decode_png(data, dtype="uint16")))


def decode_mask(path: str | tf.Tensor, label_map: LabelMap = ()) -> tf.Tensor:
    """Reads the class ids of a mask as an `int32` tensor of shape `(height, width)`.

    With TensorFlow operations only: a Python function in an endless pipeline can deadlock when the
    process exits, as the pipeline's thread and the interpreter then wait for each other.

    Args:
        path: String, a PNG file.
        label_map: Pairs of a label and the one that replaces it.

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
    mask = ids = tf.cast(ids, "int32")
    for label, replacement in label_map:
        mask = tf.where(ids == label, replacement, mask)
    return mask


def read_mask(path: str | bytes | os.PathLike, label_map: LabelMap = ()) -> np.ndarray:
    """Reads the class ids of a mask as an `int32` array of shape `(height, width)`.

    Same result as `decode_mask`, but errors state the file and what is wrong with it.

    Raises:
        OSError: If the file is missing.
        ValueError: If it is not a PNG, has several channels, or cannot be decoded.
    """
    path = os.fsdecode(path)
    with open(path, "rb") as file:
        header = file.read(26)
    if len(header) < 26 or not header.startswith(_PNG_SIGNATURE):
        raise ValueError(f"A mask must be a PNG file. Received: path={path!r}")
    color = header[COLOR_TYPE]
    if color not in (GRAYSCALE, INDEXED):
        kind = _COLOR_TYPES.get(color, "unknown")
        raise ValueError(
            "A mask must be a PNG with one channel or a palette; `python -m training.import_data` "
            f"converts masks of colors. Received: path={path!r} with {kind} pixels"
        )
    try:
        return _mask_reader(tuple(label_map))(tf.constant(path)).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(f"{image_bytes.CORRUPT} Received: path={path!r}") from error


@functools.cache
def _mask_reader(label_map):
    """Returns `decode_mask`, traced before threads share it."""
    reader = tf.function(lambda path: decode_mask(path, label_map))
    return reader.get_concrete_function(tf.TensorSpec((), tf.string))
