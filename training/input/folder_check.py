"""Decodes every file of a folder data set and reports problems before training finds them."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_encnet.masks import ignored_labels
from training.input.folder import Split, summarize
from training.input.image_files import read_mask


@dataclasses.dataclass(frozen=True)
class Report:
    """The contents of a split. Images with a problem are not counted.

    Attributes:
        split: The `Split` that was checked.
        problems: Tuple of pairs, the stem of an image and a description of its problem.
        pixel_counts: Integers of shape `(classes,)`: labeled pixels per class.
        presence_counts: Integers of shape `(classes,)`: images that contain each class.
        ignored_pixels: Integer, the number of pixels with an ignored label.
        sizes: Integers of shape `(images, 2)`: heights and widths.
    """

    split: Split
    problems: tuple[tuple[str, str], ...]
    pixel_counts: np.ndarray
    presence_counts: np.ndarray
    ignored_pixels: int
    sizes: np.ndarray

    @property
    def bad_stems(self) -> tuple[str, ...]:
        """The stems of the images with a problem, as `Split.without` takes them."""
        return tuple(dict.fromkeys(stem for stem, _ in self.problems))

    def raise_if_bad(self) -> None:
        """Raises a `ValueError` that lists the first problems, if there are any."""
        if self.problems:
            lines = [f"  {stem}: {message}" for stem, message in self.problems[:10]]
            if len(self.problems) > 10:
                lines.append(f"  and {len(self.problems) - 10} more")
            raise ValueError(
                f"{len(self.bad_stems)} of the {len(self.split)} images cannot be used:\n"
                + "\n".join(lines)
                + "\nFix them, or pass `--skip-bad` to leave these images out. "
                f"Received: split={self.split.name!r} of {self.split.root}"
            )

    def __str__(self) -> str:
        """Image sizes and class frequencies, as a table."""
        good = len(self.sizes)
        lines = [f"{self.split.name}: {len(self.split)} images, {len(self.bad_stems)} of them bad"]
        if not good:
            return lines[0]
        for axis, name in enumerate(("height", "width")):
            smallest, median, largest = np.percentile(self.sizes[:, axis], (0, 50, 100))
            lines.append(f"  {name}: {smallest:g} to {largest:g} pixels, median {median:g}")
        labeled = self.pixel_counts.sum()
        ignored = self.ignored_pixels / (self.ignored_pixels + labeled)
        lines.append(f"  ignored: {ignored:.2%} of all pixels")
        lines.append(f"  {'id':>5}  {'of labeled pixels':>18}  {'in images':>18}  class")
        for i, name in enumerate(self.split.class_names):
            pixels = self.pixel_counts[i] / max(labeled, 1)
            images = self.presence_counts[i]
            lines.append(f"  {i:>5}  {pixels:>18.2%}  {images:>9} {images / good:>8.1%}  {name}")
        return "\n".join(lines)


def check_split(split: Split, ignore_class: int | Sequence[int] = 255) -> Report:
    """Decodes every image and every mask of a split.

    Args:
        split: A `Split`.
        ignore_class: Integer or sequence of integers, the ignored labels.

    Returns:
        A `Report`.

    Raises:
        ValueError: If there is no ignored label.
    """
    ignored = ignored_labels(ignore_class)
    if not ignored:
        raise ValueError(
            "`ignore_class` must have at least one label, which padding gets. "
            f"Received: ignore_class={ignore_class}"
        )
    check = functools.partial(_check_pair, classes=len(split.class_names), ignored=ignored)
    # Pillow releases the interpreter lock while it decodes, so threads use all cores.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(check, split.image_paths, split.mask_paths))
    problems = [
        (stem, problem)
        for stem, (found, _, _) in zip(split.stems, results, strict=True)
        for problem in found
    ]
    good = [(counts, size) for found, counts, size in results if not found]
    pixels = np.zeros(len(split.class_names), "int64")
    presence = np.zeros(len(split.class_names), "int64")
    ignored_pixels = 0
    for counts, (height, width) in good:
        pixels += counts
        presence += counts > 0
        ignored_pixels += height * width - int(counts.sum())
    return Report(
        split=split,
        problems=tuple(problems),
        pixel_counts=pixels,
        presence_counts=presence,
        ignored_pixels=ignored_pixels,
        sizes=np.array([size for _, size in good], "int64").reshape(-1, 2),
    )


def _check_pair(image_path, mask_path, classes, ignored):
    """Returns the problems of an image and its mask, the pixels per class, and the size."""
    problems, shape, mask = [], None, None
    # Damaged files make decoders raise nearly anything, SyntaxError and struct.error included.
    try:
        shape = _image_shape(image_path)
    except Exception as error:
        problems.append(f"the image cannot be read: {error}")
    try:
        mask = read_mask(mask_path)
    except Exception as error:
        problems.append(f"the mask cannot be read: {error}")
    if problems:
        return problems, None, None
    if shape != mask.shape:
        sizes = [f"{width}x{height}" for height, width in (shape, mask.shape)]
        problems.append(f"the image has {sizes[0]} pixels, its mask {sizes[1]}")
    counts = np.bincount(mask.ravel(), minlength=classes)
    counts[[label for label in ignored if 0 <= label < len(counts)]] = 0
    unknown = np.flatnonzero(counts[classes:]) + classes
    if len(unknown):
        problems.append(
            f"the mask contains the ids {summarize(map(str, unknown))}, but the classes are 0 to "
            f"{classes - 1} and the ignored labels {summarize(map(str, ignored))}"
        )
    return problems, counts[:classes], shape


def _image_shape(path: str | os.PathLike) -> tuple[int, int]:
    """Decodes an image completely, so that truncated files fail; returns height and width."""
    with Image.open(path, formats=["JPEG", "PNG", "BMP"]) as image:
        image.load()
        if image.format == "BMP" and image.mode in ("1", "P"):
            # TensorFlow would decode the palette indices as shades of gray.
            raise ValueError("a BMP with a palette is not supported, save it as PNG or JPEG")
        return image.height, image.width
