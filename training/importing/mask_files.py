"""Mask files of every kind: found next to their images, decoded, and their values counted."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from training.importing.export import EMPTY, IGNORE, Hints, Item, Labels
from training.importing.images import open_image, png_depth
from training.importing.names import divide, pair, split_in
from training.importing.source import Source


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a mask file contains.

    Attributes:
        size: Width and height, upright.
        lossy: Whether it is a JPEG, whose pixels are not those that were saved.
        ids: Dict from the values of its pixels to their number; None if they have colors.
        colors: Dict from packed colors, `0xrrggbb`, to their number; None for 16 bits.
    """

    size: tuple[int, int]
    lossy: bool
    ids: Mapping[int, int] | None
    colors: Mapping[int, int] | None


def pack(color: Iterable[int]) -> int:
    """Returns a color as one number."""
    red, green, blue = color
    return red << 16 | green << 8 | blue


def unpack(color: int) -> tuple[int, int, int]:
    """Returns red, green and blue of a packed color."""
    return color >> 16, color >> 8 & 255, color & 255


def find_pairs(source: Source, hints: Hints) -> dict[str, str]:
    """Pairs images with their masks, by the folders in the hints or by their names."""
    images, masks = divide(source.images)
    chosen = masks if hints.masks is None else _inside(source, "masks", hints.masks)
    if hints.images is None:
        images = [file for file in images if file not in set(chosen)]
    else:
        images = _inside(source, "images", hints.images)
        chosen = [file for file in chosen if file not in set(images)]
    # Folders that the user has named say nothing about the names of images.
    plain = {file: _without(hints.images, file) for file in images}
    plain_masks = {_without(hints.masks, file): file for file in chosen}
    found = pair(list(plain.values()), list(plain_masks))
    return {image: plain_masks[found[name]] for image, name in plain.items() if name in found}


def _inside(source, option, folder):
    found = [file for file in source.images if _without(folder, file) != file]
    if not found:
        raise ValueError(
            f"`--{option}` must be a folder of images inside the export. "
            f"Received: {option}={folder!r}"
        )
    return found


def _without(folder, file):
    """Returns the path of a file inside a folder, or as it is."""
    return file if folder is None else file.removeprefix(f"{PurePosixPath(folder).as_posix()}/")


@functools.lru_cache(maxsize=1)
def contents(source: Source, files: tuple[str, ...]) -> dict[str, Contents]:
    """Decodes masks and counts their values; the source records those that are damaged."""
    found = {}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(_contents, source.path(file)) for file in files]
        for file, job in zip(files, tqdm(jobs, "Reading masks", unit="file"), strict=True):
            # Damaged files make decoders raise nearly anything.
            try:
                found[file] = job.result()
            except Exception as error:
                source.skip(file, f"the mask cannot be read: {error}")
    return found


def _contents(path):
    image, lossy = _load(path)
    ids, colors = _ids(image), None
    if not image.mode.startswith("I"):
        colors = _counted(_colors(image))
    return Contents(image.size, lossy, None if ids is None else _counted(ids), colors)


def _load(path):
    """Returns a mask, upright, and whether it is a JPEG."""
    with open_image(path) as stored:
        image = ImageOps.exif_transpose(stored)
        lossy = stored.format in ("JPEG", "MPO")
        scaled = stored.format == "PNG" and image.mode == "L"
    if image.mode not in _MODES:
        raise ValueError(f"pixels of the kind {image.mode} are neither ids nor colors")
    depth = png_depth(path) if scaled else 8
    if depth < 8:  # Pillow scales 2 and 4 bits to 8
        image = Image.fromarray(np.asarray(image) // (255 // (2**depth - 1)))
    return image, lossy


_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I", "I;16", "I;16B", "I;16L")


def _ids(image):
    """Returns the pixels as ids, of three channels if they are equal; else None."""
    if image.mode in ("LA", "PA"):
        return np.asarray(image)[..., 0].astype("int32")
    pixels = np.asarray(image).astype("int32")
    if pixels.ndim == 2:
        return pixels
    gray = (pixels[..., 0] == pixels[..., 1]) & (pixels[..., 0] == pixels[..., 2])
    return pixels[..., 0] if gray.all() else None


def _colors(image):
    """Returns the pixels as packed colors; transparency is dropped."""
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype("int32"), -1, 0)
    return red << 16 | green << 8 | blue


def _counted(pixels):
    values, counts = np.unique(pixels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def total(counted: Iterable[Mapping[int, int] | None]) -> dict[int, int]:
    """Adds up the numbers of pixels of several masks by value, sorted."""
    sums: dict[int, int] = {}
    for counts in counted:
        for value, count in (counts or {}).items():
            sums[value] = sums.get(value, 0) + count
    return dict(sorted(sums.items()))


@dataclasses.dataclass(frozen=True)
class MaskFile:
    """The annotation of an image by a mask file.

    Attributes:
        source: The `Source`.
        file: String, the file.
        size: Width and height, upright.
        names: Dict from values to classes, `IGNORE` or `EMPTY`.
        colors: Whether the values are packed colors, not ids.
    """

    source: Source
    file: str
    size: tuple[int, int]
    names: Mapping[int, str | None]
    colors: bool

    def draw(self, size: tuple[int, int], labels: Labels, empty: int) -> np.ndarray:
        """Draws the mask, see `training.importing.export.Annotation`."""
        image, _ = _load(self.source.path(self.file))
        pixels = _colors(image) if self.colors else _ids(image)
        values = np.array(sorted(self.names))
        replacements = [labels[self.names[value]] for value in values.tolist()]
        of_value = np.array([empty if label is None else label for label in replacements])
        return of_value[np.searchsorted(values, pixels)]


def classes(names: Mapping[int, str | None]) -> list[str]:
    """Returns the classes among the meanings of values, in their order."""
    return list(dict.fromkeys(name for name in names.values() if name not in (IGNORE, EMPTY)))


def items(
    source: Source,
    pairs: Mapping[str, str],
    found: Mapping[str, Contents],
    names: Mapping[int, str | None],
    colors: bool,
    splits: Mapping[str, str],
) -> Iterator[Item]:
    """Yields the pairs as items.

    Args:
        source: A `Source`.
        pairs: Dict from images to masks.
        found: The contents of the masks that can be used.
        names: Dict from values to classes, for all values in all masks.
        colors: Whether the values are packed colors, not ids.
        splits: Dict from images to splits; for others, their folder may name it.
    """
    for image, mask in pairs.items():
        if mask in found:
            split = splits.get(image) or split_in(image)
            annotation = MaskFile(source, mask, found[mask].size, names, colors)
            yield Item(image, annotation, split=split)


def skip_unpaired(source: Source, pairs: Mapping[str, str]) -> None:
    """Records the images without a mask, and the masks without an image."""
    images, masks = divide(source.images)
    for file in images:
        if file not in pairs and file not in pairs.values():
            source.skip(file, "there is no mask for the image, or several could be meant")
    for file in masks:
        if file not in pairs.values() and file not in pairs:
            source.skip(file, "there is no image for the mask, or several could be meant")


def skip_lossy(source: Source, found: Mapping[str, Contents], remedy: str) -> dict[str, Contents]:
    """Returns the masks that are no JPEGs; the source records the others."""
    for file, content in found.items():
        if content.lossy:
            source.skip(file, f"JPEG changes the values of pixels; {remedy}")
    return {file: content for file, content in found.items() if not content.lossy}
