"""Decodes every file of a folder data set, as training does, and reports problems before it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from keras_encnet.masks import ignored_labels
from training.input.folder import Split, summarize
from training.input.image_files import (
    exif_orientation,
    largest_16_bit_value,
    read_image,
    read_mask,
)

# Label of the object in masks of many tools for two classes, and the usual ignored label.
WHITE = 255
IMPORT = "python -m training.import_data FOLDER OUTPUT"
# Cameras store 12 bits in 16 without scaling them; the upper 8, which are kept, are then dark.
FULL_12_BITS = 2**12


@dataclasses.dataclass(frozen=True)
class Report:
    """The contents of a split. Images with a problem are not counted.

    Attributes:
        split: The `Split` that was checked.
        problems: Tuple of pairs, the stem of an image and a description of its problem.
        pixel_counts: Integers of shape `(classes,)`: labeled pixels per class.
        presence_counts: Integers of shape `(classes,)`: images that contain each class.
        image_pixel_counts: Integers of shape `(classes,)`: labeled pixels of these images.
        ignored_pixels: Integer, the number of pixels with an ignored label.
        labels: Tuple of integers, the labels that occur, ignored ones included.
        sizes: Integers of shape `(images, 2)`: heights and widths.
    """

    split: Split
    problems: tuple[tuple[str, str], ...]
    pixel_counts: np.ndarray
    presence_counts: np.ndarray
    image_pixel_counts: np.ndarray
    ignored_pixels: int
    labels: tuple[int, ...]
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

    def split_problems(self, every_class: bool = False) -> list[str]:
        """Returns what is wrong with the labels of the split as a whole, as sentences.

        Args:
            every_class: Whether every class must have a pixel, as for training.
        """
        if not len(self.sizes):
            return ["No image of the split can be used."]
        labels = summarize(map(str, self.labels))
        if self.labels == (0, WHITE) and WHITE not in dict(self.split.label_map):
            return [
                f"The masks hold only 0 and {WHITE}. If {WHITE} marks the object, as in masks of "
                f"two classes from many tools, pass `--map-labels {WHITE}:1`, or convert the "
                f"masks with `{IMPORT}`; now these pixels are ignored. If they should be, pass "
                f"`--map-labels {WHITE}:{WHITE}`."
            ]
        if not self.pixel_counts.any():
            return [
                "No pixel of the split has a class: its masks hold only ignored labels. Correct "
                "the masks, or map labels to classes with `--map-labels`. "
                f"Received: labels {labels}"
            ]
        absent = [self.split.class_names[i] for i in np.flatnonzero(self.pixel_counts == 0)]
        if every_class and absent:
            return [
                f"{len(absent)} of the {len(self.pixel_counts)} classes have no pixel in the "
                f"split and cannot be learned: {summarize(absent)}. Correct `classes.txt` or the "
                f"masks, map labels with `--map-labels`, or pass `--allow-absent-classes`."
                f"{self._likely_cause()} Received: labels {labels}"
            ]
        return []

    def _likely_cause(self) -> str:
        """Returns what may be wrong if only the first or the last class has no pixel."""
        absent = np.flatnonzero(self.pixel_counts == 0).tolist()
        if absent == [0]:
            return f" If the ids in the masks start from 1, `{IMPORT}` shifts them."
        if absent == [len(self.pixel_counts) - 1]:
            return " `classes.txt` may have one name too many."
        return ""

    def raise_if_unusable(self, every_class: bool = False) -> None:
        """Raises a `ValueError` with the problems of the split as a whole, if there are any."""
        for problem in self.split_problems(every_class):
            raise ValueError(f"{problem} (split {self.split.name!r} of {self.split.root})")

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
    check = functools.partial(
        _check_pair, split.label_map, classes=len(split.class_names), ignored=ignored
    )
    # TensorFlow releases the interpreter lock while it decodes, so threads use all cores.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(check, split.image_paths, split.mask_paths))
    problems = [
        (stem, problem)
        for stem, (found, *_) in zip(split.stems, results, strict=True)
        for problem in found
    ]
    good = [contents for found, *contents in results if not found]
    pixels, presence, image_pixels = np.zeros((3, len(split.class_names)), "int64")
    ignored_pixels, labels = 0, set()
    for counts, (height, width), found in good:
        pixels += counts
        presence += counts > 0
        image_pixels += np.where(counts > 0, counts.sum(), 0)
        ignored_pixels += height * width - int(counts.sum())
        labels |= found
    return Report(
        split=split,
        problems=tuple(problems),
        pixel_counts=pixels,
        presence_counts=presence,
        image_pixel_counts=image_pixels,
        ignored_pixels=ignored_pixels,
        labels=tuple(sorted(labels)),
        sizes=np.array([size for _, size, _ in good], "int64").reshape(-1, 2),
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


def _check_pair(label_map, image_path, mask_path, classes, ignored):
    """Returns the problems of an image and its mask, pixels per class, size, and labels."""
    problems, shape, mask = [], None, None
    # Damaged files make decoders raise nearly anything, SyntaxError and struct.error included.
    try:
        image = read_image(image_path)
        shape = image.shape[:2]
        problems += _orientation_problems("image", image_path)
        problems += _range_problems(image_path, image)
    except Exception as error:
        problems.append(f"the image cannot be read: {error}")
    try:
        mask = read_mask(mask_path, label_map)
        problems += _orientation_problems("mask", mask_path)
    except Exception as error:
        problems.append(f"the mask cannot be read: {error}")
    if shape is None or mask is None:
        return problems, None, None, None
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
    return problems, counts[:classes], shape, labels


def _range_problems(path, image):
    if image.max() >= FULL_12_BITS >> 8:  # as nearly always: no need to decode it again
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
