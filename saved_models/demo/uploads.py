"""Uploaded image files, which come from unknown sources."""

import contextlib
import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_encnet.export import Limits, image_bytes
from training.input.image_files import exif_orientation
from training.input.image_paths import explain

ROTATED = (
    "The EXIF orientation of this file is not applied: image and mask show the pixels as stored."
)


@dataclasses.dataclass(frozen=True)
class PageLimits:
    """Limits on one image, which bound memory and time.

    Args:
        bytes: Maximum number of bytes of the file.
        pixels: Maximum number of pixels of the image, checked before it is decoded.
        network_pixels: Maximum number of pixels that a network processes at once: those of the
            resized image, or of a window.
    """

    bytes: int = Limits.bytes
    pixels: int = Limits.pixels
    network_pixels: int = Limits.tensor_pixels


@dataclasses.dataclass(frozen=True)
class Upload:
    """An image file and its content.

    Attributes:
        path: the file.
        pixels: uint8 `(height, width, 3)`, RGB.
        notes: sentences about the file.
    """

    path: Path
    pixels: np.ndarray
    notes: tuple[str, ...] = ()


class UploadReader:
    """Reads image files as exported models do.

    Call arguments:
        path: the file.

    Raises:
        OSError: if the file is missing.
        ValueError: if it exceeds a limit, or is not a JPEG, PNG, GIF or BMP that can be decoded.
    """

    def __init__(self, limits: PageLimits = PageLimits()):
        bounds = Limits(bytes=limits.bytes, pixels=limits.pixels)
        reader = tf.function(lambda data: image_bytes.read(data, bounds))
        # Traced here, since threads share it.
        self._read = reader.get_concrete_function(tf.TensorSpec((), tf.string))

    def __call__(self, path: Path) -> Upload:
        status, pixels = self._read(tf.constant(path.read_bytes()))
        reason = status.numpy().decode()
        if reason != image_bytes.OK:
            raise ValueError(f"{explain(reason)} Received: file={path.name!r}")
        return Upload(path, pixels.numpy(), (ROTATED,) if _is_rotated(path) else ())


def _is_rotated(path):
    # Pillow raises all kinds of errors for damaged metadata, which the decoder has skipped.
    with contextlib.suppress(Exception):
        return exif_orientation(path) != 1
    return False
