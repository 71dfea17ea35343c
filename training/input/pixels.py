"""Channels and types of the images of a data set, which decide how its files are decoded.

The images of a data set have one number of channels. A file has that of its header: 1 for gray
images, 3 for RGB and for palettes, 4 for RGB with an alpha channel, any for `.npy` files. Where
gray, RGB and RGBA files are mixed, all are read as RGB: gray is repeated, alpha dropped.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from training.input import npy

RGB, RGBA = 3, 4
# Of the modes of Pillow; all others are read as RGB.
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "La": 1, "RGBA": RGBA, "RGBa": RGBA}


@dataclasses.dataclass(frozen=True)
class Pixels:
    """How the images of a data set are decoded.

    Attributes:
        channels: Integer, the number of channels.
        dtype: String, `"uint8"`, or `"float32"` if an array has another type.
        arrays: Whether any image is a `.npy` file.
    """

    channels: int = RGB
    dtype: str = "uint8"
    arrays: bool = False

    @property
    def is_usual(self) -> bool:
        """Whether images are RGB in 0 to 255, for which published weights have been trained."""
        return self.channels == RGB and self.dtype == "uint8"

    def __str__(self) -> str:
        """The number of channels and what is in the files, in words."""
        names = {1: "1 channel (gray)", RGB: "3 channels (RGB)", RGBA: "4 channels (RGBA)"}
        if self.arrays or self.channels not in names:
            kind = "8 bits" if self.dtype == "uint8" else "values of any range"
            return f"{self.channels} channel{'s' * (self.channels > 1)} with {kind}, from `.npy`"
        return names[self.channels]


AS_RGB = Pixels()


def stored_pixels(path: str | os.PathLike) -> tuple[int, np.dtype]:
    """Returns the number of channels and the type of an image file, from its header.

    Raises:
        OSError: If the file cannot be opened or is no image.
        ValueError: If it is a `.npy` file that cannot be used.
    """
    if npy.is_npy(path):
        (_, _, channels), dtype = npy.read_header(path)
        return channels, dtype
    with Image.open(path) as image:
        is_gray = image.mode.startswith(("I", "F"))
        return (1 if is_gray else _CHANNELS.get(image.mode, RGB)), np.dtype("uint8")


def check_channels(path: str | os.PathLike, channels: int) -> None:
    """Raises ValueError if an image cannot be read with this number of channels."""
    stored, _ = stored_pixels(path)
    convertible = not npy.is_npy(path) and channels in (1, RGB)
    if stored != channels and not convertible:
        raise ValueError(
            f"The image has {stored} channel{'s' * (stored > 1)}, but the model or the other "
            f"images have {channels}. Received: path={str(path)!r}"
        )


def pixels_of(paths: Sequence[Path], channels: int | None = None) -> Pixels:
    """Returns how to decode images, from their headers. Files that are no images are left out.

    Args:
        paths: Paths of all images, in their order.
        channels: Integer, the number of channels, by default that of the images.

    Raises:
        ValueError: If `.npy` files have other numbers of channels than other images.
    """
    arrays = [path for path in paths if npy.is_npy(path)]
    if channels is not None and not arrays:
        return Pixels(channels)
    examined = paths if channels is None else arrays
    with concurrent.futures.ThreadPoolExecutor() as pool:
        stored = dict(zip(examined, pool.map(_stored_or_none, examined), strict=True))
    known = {path: found for path, found in stored.items() if found is not None}
    dtypes = {found[1] for found in known.values()}
    dtype = "uint8" if dtypes <= {np.dtype("uint8")} else "float32"
    if channels is None:
        channels = _common({path: count for path, (count, _) in known.items()}, bool(arrays))
    return Pixels(channels, dtype, bool(arrays))


def _common(counts, has_arrays):
    """Returns the number of channels of a data set, from those of its images."""
    found = collections.Counter(counts.values())
    if len(found) == 1:
        return next(iter(found))
    if found and has_arrays:
        examples = {count: path for path, count in reversed(counts.items())}
        named = ", ".join(f"{count} ({examples[count].name})" for count in sorted(found))
        raise ValueError(
            "All images of a data set must have the same number of channels, as `.npy` files are "
            f"not converted. Received: images with {named} channels"
        )
    return RGB


def _stored_or_none(path):
    try:
        return stored_pixels(path)
    except Exception:  # damaged files make decoders raise nearly anything; the check names them
        return None
