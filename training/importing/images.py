"""Conversion of images to files that training decodes, upright and with 8 bits per channel.

A JPEG or PNG that is upright already is copied byte for byte. Everything else is decoded by Pillow
and encoded again: a JPEG as a JPEG with its own quantization tables, all others as PNG, without
loss.

Images with 16 bits per channel are divided by a power of two. All of an export are divided by the
same one: the smallest that brings the largest value in any of them below 256, counted in steps of
two bits (10, 12, 14, 16). Files with several channels of 16 bits that Pillow cannot read as such,
that is all but PNG, keep the upper 8 bits.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image, JpegImagePlugin

from training.input.image_files import BIT_DEPTH

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
# The formats that are copied; Pillow names a JPEG with several pictures MPO.
_COPIED = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png"}
# Pillow's limit against decompression bombs, which `image_files` lifts for the user's own files.
LARGEST = 178_956_970
_SWAPPING = (5, 6, 7, 8)  # the EXIF orientations that swap width and height


@dataclasses.dataclass(frozen=True)
class Header:
    """What the header of an image file states.

    Attributes:
        format: String, as Pillow names it.
        size: Width and height of the pixels as stored.
        orientation: Integer, the EXIF orientation, 1 to 8.
        deep: Whether a channel has more than 8 bits.
        frames: Integer, the number of pictures in the file.
    """

    format: str
    size: tuple[int, int]
    orientation: int
    deep: bool
    frames: int

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height after the orientation is applied."""
        return self.size[::-1] if self.orientation in _SWAPPING else self.size


def read_header(data: Path | bytes) -> Header:
    """Reads the header of an image.

    Args:
        data: Path of the file, or its contents.

    Raises:
        OSError: If Pillow cannot read it.
        ValueError: If it has more than `LARGEST` pixels.
    """
    with open_image(data) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return Header(
            format=image.format or "",
            size=image.size,
            orientation=orientation if orientation in range(1, 9) else 1,
            deep=image.mode.startswith(("I", "F")) or _is_deep_png(data, image),
            frames=1 if image.format == "MPO" else getattr(image, "n_frames", 1),
        )


def open_image(data: Path | bytes) -> Image.Image:
    """Opens an image with Pillow, if it is in one of the formats of photos.

    Raises:
        OSError: If it is not. Pillow would run another program for PostScript, for example.
        ValueError: If it has more than `LARGEST` pixels.
    """
    image = Image.open(data if isinstance(data, Path) else io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > LARGEST:
        image.close()
        raise ValueError(
            f"the image has {image.width} x {image.height} pixels, more than {LARGEST:,}; cut it "
            "into tiles"
        )
    return image


def png_depth(data: Path | bytes) -> int:
    """Returns the number of bits per channel of a PNG."""
    return _bytes(data, BIT_DEPTH + 1)[BIT_DEPTH]


def _is_deep_png(data, image):
    return image.format == "PNG" and png_depth(data) == 16


def _bytes(data, limit=-1):
    if isinstance(data, bytes):
        return data
    with data.open("rb") as file:
        return file.read(limit)


def bits_of(deep: Iterable[Path | bytes]) -> int:
    """Returns how many bits the values of deep images need: 8, 10, 12, 14 or 16."""
    largest = max((int(_deep_pixels(data).max(initial=0)) for data in deep), default=0)
    return max(8, (largest.bit_length() + 1) // 2 * 2)


def _deep_pixels(data):
    """Returns the pixels of a deep image as integers, `(height, width)` or with channels."""
    with open_image(data) as image:
        if _is_deep_png(data, image):
            channels = 1 if image.mode.startswith("I") else 3
            pixels = tf.io.decode_png(_bytes(data), channels, "uint16").numpy()
            return pixels[..., 0] if channels == 1 else pixels
        pixels = np.asarray(image)
    if pixels.dtype.kind == "f" and not (pixels == np.floor(pixels)).all():
        raise ValueError(
            "the pixels are fractions, whose range is not known; convert them to 8 or 16 bits"
        )
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        raise ValueError("the pixels are not in 0 to 65535; convert them to 8 or 16 bits")
    return pixels.astype("int32")


def write_image(data: Path | bytes, header: Header, stem: Path, bits: int = 16) -> Path:
    """Writes an image, upright, as a file that training decodes.

    Args:
        data: Path of the file, or its contents.
        header: Its `Header`.
        stem: Path to write to, without a suffix.
        bits: The bits of deep images, see `bits_of`.

    Returns:
        The path of the written file.

    Raises:
        Exception: If the image is damaged; decoders raise nearly anything.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    if header.deep:
        pixels = _deep_pixels(data) >> (bits - 8)
        image = Image.fromarray(pixels.astype("uint8"))
        return _save(_upright(image, header.orientation), _with_suffix(stem, ".png"))
    if header.format == "PNG":
        with open_image(data) as image:
            image.verify()  # of its end, too, which decoding does not need
    with open_image(data) as image:
        image.load()
        if header.format in _COPIED and header.orientation == 1:
            path = _with_suffix(stem, _COPIED[header.format])
            path.write_bytes(_bytes(data))
            return path
        if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode in ("L", "RGB"):
            sampling = JpegImagePlugin.get_sampling(image)
            return _save(
                _upright(image, header.orientation),
                _with_suffix(stem, ".jpg"),
                qtables=image.quantization,
                **({"subsampling": sampling} if sampling >= 0 else {}),
            )
        upright = _upright(image, header.orientation)
        gray = image.mode in ("1", "L", "LA")
        return _save(upright.convert("L" if gray else "RGB"), _with_suffix(stem, ".png"))


def _with_suffix(stem, suffix):
    return stem.with_name(stem.name + suffix)  # a stem may contain periods


def _save(image, path, **options):
    image.info = {}  # without the orientation, which is applied
    image.save(path, **options)
    return path


_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image, orientation):
    image.getexif().clear()
    return image if orientation == 1 else image.transpose(_TRANSPOSITIONS[orientation])


def upright_mask(mask: np.ndarray, orientation: int) -> np.ndarray:
    """Turns a mask like an image with this EXIF orientation.

    >>> upright_mask(np.array([[1, 2]]), 6).tolist()
    [[1], [2]]
    """
    if orientation == 1:
        return mask
    return np.asarray(_upright(Image.fromarray(mask.astype("int32")), orientation))
