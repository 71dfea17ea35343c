"""Converts annotated images in parallel: each becomes an image and a mask file, or neither."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from tqdm import tqdm

from keras_encnet.labels import default_palette
from training.importing.classes import Labeling
from training.importing.export import Item
from training.importing.images import Header, bits_of, read_header, upright_mask, write_image
from training.importing.names import stems
from training.importing.source import Source

# The pixels that an annotation is for: those that viewers show, or those in the file.
Frame = Literal["upright", "stored"]
# Errors of the disk that is written to, and not of one image.
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE)


@dataclasses.dataclass(frozen=True)
class Written:
    """An image and a mask of the folder.

    Attributes:
        stem: String.
        item: The `Item`.
        pixels: Integers, the number of pixels of each label in the mask.
    """

    stem: str
    item: Item
    pixels: np.ndarray


def read_headers(source: Source, items: Sequence[Item]) -> dict[int, Header]:
    """Returns the header of each image, by index; the source records unreadable ones."""
    headers = {}
    for i, item in enumerate(items):
        try:
            headers[i] = read_header(_data(source, item))
        except Exception as error:  # damaged files make decoders raise nearly anything
            source.skip(item.source, f"the image cannot be read: {error}")
    return headers


def _data(source, item):
    return source.path(item.image) if isinstance(item.image, str) else item.image()


def needed_bits(
    source: Source, items: Sequence[Item], headers: dict[int, Header], notes: list[str]
) -> int:
    """Returns how many bits the values of deep images need, and notes what becomes of them."""
    deep = [i for i, header in headers.items() if header.deep]
    needed = 8
    for i in deep:
        try:
            needed = max(needed, bits_of([_data(source, items[i])]))
        except Exception as error:
            source.skip(items[i].source, f"the image cannot be read: {error}")
            del headers[i]
    if deep:
        notes.append(
            f"{len(deep)} images have 16 bits per channel; their values need {needed} bits and are "
            f"divided by {2 ** (needed - 8)}."
        )
    frames = [i for i, header in headers.items() if header.frames > 1]
    if frames:
        notes.append(f"{len(frames)} images have several frames, of which the first is used.")
    return needed


def convert(
    source: Source,
    items: Sequence[Item],
    headers: Mapping[int, Header],
    bits: int,
    labeling: Labeling,
    output: Path,
    annotated: Frame,
) -> list[Written]:
    """Writes images and masks; the source records the failures."""
    indices = list(headers)
    named = stems([items[i].source for i in indices])
    palette = default_palette(len(labeling.class_names))

    def convert_one(index, stem):
        item, header = items[index], headers[index]
        paths = [output / folder / stem for folder in ("images", "labels")]
        try:
            mask = _draw(item, header, labeling, annotated)
            write_image(_data(source, item), header, paths[0], bits)
            paths[1].parent.mkdir(parents=True, exist_ok=True)
            write_mask(paths[1].with_name(paths[1].name + ".png"), mask, palette)
        except BaseException:
            for path in paths:
                for suffix in (".jpg", ".png"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
            raise
        return Written(stem, item, np.bincount(mask.ravel()))

    written = []
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        jobs = [pool.submit(convert_one, i, stem) for i, stem in zip(indices, named, strict=True)]
        for i, job in zip(indices, tqdm(jobs, "Converting", unit="image"), strict=True):
            try:
                written.append(job.result())
            except Exception as error:
                if isinstance(error, OSError) and error.errno in _FATAL:
                    raise
                source.skip(items[i].source, f"it cannot be converted: {error}")
    finally:
        pool.shutdown(cancel_futures=True)
    return written


def _draw(item, header, labeling, annotated):
    """Returns the mask of an item, upright."""
    size = item.annotation.size or (header.size if annotated == "stored" else header.upright)
    if size not in (header.upright, header.size):
        raise ValueError(
            f"the image has {header.upright[0]}x{header.upright[1]} pixels, its annotation is for "
            f"{size[0]}x{size[1]}"
        )
    mask = item.annotation.draw(size, labeling.labels, labeling.empty)
    # A size that fits only one way determines the frame of the annotation.
    stored = annotated == "stored" if header.upright == header.size else size == header.size
    return upright_mask(mask, header.orientation) if stored else mask


def write_mask(path: Path, mask: np.ndarray, palette: np.ndarray) -> None:
    """Writes a mask as a PNG: with a palette, or with 16 bits if there are more than 256 labels."""
    if len(palette) > 255:
        Image.fromarray(mask.astype("uint16")).save(path)
        return
    image = Image.fromarray(mask.astype("uint8"))
    image.putpalette(palette.tobytes() + bytes(3 * (255 - len(palette))) + b"\xff\xff\xff")
    image.save(path)


def note_orientations(
    items: Sequence[Item], headers: Mapping[int, Header], annotated: Frame, notes: list[str]
) -> None:
    """Notes which orientations were applied, and what was assumed of their annotations."""
    turned = [i for i, header in headers.items() if header.orientation != 1]
    unclear = [i for i in turned if headers[i].upright == headers[i].size]
    if turned:
        notes.append(f"The EXIF orientation was applied to {len(turned)} images.")
    if unclear:
        other = "stored" if annotated == "upright" else "upright"
        notes.append(
            f"The annotations of {len(unclear)} of them were taken to be for the {annotated} "
            f"pixels, such as that of {items[unclear[0]].source}; otherwise, pass "
            f"`--annotated {other}`."
        )
