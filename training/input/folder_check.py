"""Decodes every file of a folder data set, as training does, and reports problems before it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_encnet.masks import ignored_labels
from training.input.folder import Split, summarize
from training.input.image_files import (
    exif_orientation,
    largest_16_bit_value,
    read_image,
    read_mask,
)
from training.input.report import IMPORT, Report
from training.input.statistics import merged, moments_of

# Cameras store 12 bits in 16 without scaling them; the upper 8, which are kept, are then dark.
FULL_12_BITS = 2**12


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
    check = functools.partial(_check_pair, split, classes=len(split.class_names), ignored=ignored)
    # The first pair alone: it prepares the decoders, which each thread would do otherwise.
    check(split.image_paths[0], split.mask_paths[0])
    # TensorFlow releases the interpreter lock while it decodes, so threads use all cores.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        checked = pool.map(check, split.image_paths, split.mask_paths)
        bar = tqdm(checked, split.name, len(split), unit="image", leave=False, disable=None)
        results = list(bar)  # the bar is shown on terminals only
    problems = [
        (stem, problem)
        for stem, (found, *_) in zip(split.stems, results, strict=True)
        for problem in found
    ]
    good = [contents for found, *contents in results if not found]
    pixels, image_pixels = np.zeros((2, len(split.class_names)), "int64")
    ignored_pixels, labels = 0, set()
    for counts, (height, width), found, _ in good:
        pixels += counts
        image_pixels += np.where(counts > 0, counts.sum(), 0)
        ignored_pixels += height * width - int(counts.sum())
        labels |= found
    return Report(
        split=split,
        problems=tuple(problems),
        pixel_counts=pixels,
        presence=np.array([counts > 0 for counts, *_ in good], bool).reshape(-1, len(pixels)),
        image_pixel_counts=image_pixels,
        ignored_pixels=ignored_pixels,
        labels=tuple(sorted(labels)),
        sizes=np.array([size for _, size, *_ in good], "int64").reshape(-1, 2),
        moments=merged(moments for *_, moments in good),
    )


@contextlib.contextmanager
def naming_damaged_files(
    splits: Sequence[Split], ignore_class: int | Sequence[int] = 255
) -> Iterator[None]:
    """Checks the splits again if their batches cannot be read, to name the damaged files.

    The errors of a pipeline do not name the file that it could not decode.

    Raises:
        ValueError: If a file cannot be used; it names the file.
    """
    try:
        yield
    except (*_READING_ERRORS, ValueError) as error:
        for split in splits:
            try:
                check_split(split, ignore_class).raise_if_bad()
            except ValueError as named:
                raise named from error
        raise


_READING_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
)


def _check_pair(split, image_path, mask_path, classes, ignored):
    """Returns problems of an image and its mask, pixels per class, size, labels, and moments."""
    problems, shape, mask = [], None, None
    # Damaged files make decoders raise nearly anything, SyntaxError and struct.error included.
    try:
        image = read_image(image_path, split.pixels.channels)
        shape, moments = image.shape[:2], moments_of(image)
        problems += _orientation_problems("image", image_path)
        problems += _range_problems(image_path, image)
    except Exception as error:
        problems.append(f"the image cannot be read: {error}")
    try:
        mask = read_mask(mask_path, split.label_map)
        problems += _orientation_problems("mask", mask_path)
    except Exception as error:
        problems.append(f"the mask cannot be read: {error}")
    if shape is None or mask is None:
        return problems, None, None, None, None
    if shape != mask.shape:
        sizes = [f"{width}x{height}" for height, width in (shape, mask.shape)]
        problems.append(f"the image has {sizes[0]} pixels, its mask {sizes[1]}")
    counts = np.bincount(mask.ravel(), minlength=classes)
    labels = set(np.flatnonzero(counts).tolist())
    counts[[label for label in ignored if 0 <= label < len(counts)]] = 0
    unknown = np.flatnonzero(counts[classes:]) + classes
    if len(unknown):
        problems.append(
            f"the mask contains the ids {summarize(map(str, unknown))}, but the classes are 0 to "
            f"{classes - 1} and the ignored labels {summarize(map(str, ignored))}; map others with "
            "`--map-labels`, such as `255:1`, or ignore them with `--ignore-class`"
            + (f"; if ids start from 1, `{IMPORT}` shifts them" if unknown[0] == classes else "")
        )
    return problems, counts[:classes], shape, labels, moments


def _range_problems(path, image):
    if (
        image.dtype != np.uint8 or image.max() >= FULL_12_BITS >> 8
    ):  # as nearly always: no need to decode it again
        return []
    largest = largest_16_bit_value(path)
    if not largest:
        return []
    return [
        f"the image has 16 bits per channel, but values up to {largest} only, and would be nearly "
        "black: training and exported models keep the upper 8 bits. Scale the data, of 12 bits by "
        "16, and store them with 8 bits per channel, for example with `convert -auto-level -depth "
        "8`; store images that are meant to be dark with 8 bits, too"
    ]


def _orientation_problems(kind, path):
    orientation = exif_orientation(path)
    if orientation == 1:
        return []
    return [
        f"the {kind} has the EXIF orientation {orientation}: viewers and annotation tools rotate "
        "or mirror it, but training uses the pixels as stored. Store them upright and without the "
        f"tag, for example with `{IMPORT}` or `mogrify -auto-orient`"
    ]
