"""Reads every file of a data set and says what is wrong with it, before a training run finds out.

    python -m training.check_data FOLDER
    python -m training.check_data FOLDER --splits train val --ignore-class 0 255

prints the sizes of the images and the share of each class, then each problem by the name of its
image. The exit status is 1 if there is a problem, and 0 if there is none.
"""

import concurrent.futures
import dataclasses
import functools
import sys
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from training.input.folder import Split, listed, read_mask, read_split, split_names


@dataclasses.dataclass(frozen=True)
class Report:
    """What is in a split. The counts leave out the images that have a problem.

    Attributes:
        split: The `Split` it is about.
        problems: Tuple of pairs, the stem of an image and what is wrong with it.
        pixel_counts: Integers of shape `(classes,)`: labeled pixels of each class.
        presence_counts: Integers of shape `(classes,)`: images that each class is present in.
        void_pixels: Integer, the pixels that are void.
        sizes: Integers of shape `(images, 2)`: heights and widths.
    """

    split: Split
    problems: tuple
    pixel_counts: np.ndarray
    presence_counts: np.ndarray
    ignored_pixels: int
    sizes: np.ndarray

    @property
    def bad_stems(self):
        """The stems of the images that have a problem: what `Split.without` takes."""
        return tuple(dict.fromkeys(stem for stem, _ in self.problems))

    def raise_if_bad(self):
        """Raises a `ValueError` that lists the first problems, if there are any."""
        if self.problems:
            lines = [f"  {stem}: {message}" for stem, message in self.problems[:10]]
            if len(self.problems) > 10:
                lines.append(f"  and {len(self.problems) - 10} more")
            raise ValueError(
                f"{len(self.bad_stems)} of the {len(self.split)} images can't be used:\n"
                + "\n".join(lines)
                + "\nFix them, or pass `--skip-bad` to leave these images out. "
                f"Received: split={self.split.name!r} of {self.split.root}"
            )

    def __str__(self):
        """The sizes and the classes, as a table."""
        good = len(self.sizes)
        lines = [f"{self.split.name}: {len(self.split)} images, {len(self.bad_stems)} of them bad"]
        if not good:
            return lines[0]
        for axis, name in enumerate(("height", "width")):
            least, middle, most = np.percentile(self.sizes[:, axis], (0, 50, 100))
            lines.append(f"  {name}: {least:g} to {most:g} pixels, median {middle:g}")
        labeled = self.pixel_counts.sum()
        ignored = self.ignored_pixels / (self.ignored_pixels + labeled)
        lines.append(f"  ignored: {ignored:.2%} of all pixels")
        lines.append(f"  {'id':>5}  {'of labeled pixels':>18}  {'in images':>18}  class")
        for i, name in enumerate(self.split.class_names):
            pixels = self.pixel_counts[i] / max(labeled, 1)
            images = self.presence_counts[i]
            lines.append(f"  {i:>5}  {pixels:>18.2%}  {images:>9} {images / good:>8.1%}  {name}")
        return "\n".join(lines)


def check_split(split, ignore_class=255):
    """Reads every image and every mask of a split to its end.

    Args:
        split: A `Split`.
        ignore_class: Integer or tuple of integers, the labels of pixels without a class.

    Returns:
        A `Report`.
    """
    ignore_class = np.atleast_1d(ignore_class)
    if not ignore_class.size:
        raise ValueError(
            "`ignore_class` must be one label or more: padding gets it. Received: ignore_class=()"
        )
    check = functools.partial(
        _check_pair, classes=len(split.class_names), ignore_class=ignore_class
    )
    # Pillow decodes without holding the interpreter's lock, so threads use all cores.
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


def _check_pair(image_path, mask_path, classes, ignore_class):
    """Returns the problems of an image and its mask, the pixels of each class, and the size."""
    problems, shape, mask = [], None, None
    # Damaged files make decoders raise nearly anything, SyntaxError and struct.error included.
    try:
        shape = _image_shape(image_path)
    except Exception as error:
        problems.append(f"the image can't be read: {error}")
    try:
        mask = read_mask(mask_path)
    except Exception as error:
        problems.append(f"the mask can't be read: {error}")
    if problems:
        return problems, None, None
    if shape != mask.shape:
        sizes = [f"{width}x{height}" for height, width in (shape, mask.shape)]
        problems.append(f"the image has {sizes[0]} pixels, its mask {sizes[1]}")
    counts = np.bincount(mask.ravel(), minlength=classes)
    counts[ignore_class[(ignore_class >= 0) & (ignore_class < len(counts))]] = 0
    beyond = np.flatnonzero(counts[classes:]) + classes
    if len(beyond):
        problems.append(
            f"the mask has pixels of the ids {listed(map(str, beyond))}, but the classes are 0 to "
            f"{classes - 1} and the ignored labels {listed(map(str, ignore_class))}"
        )
    return problems, counts[:classes], shape


def _image_shape(path):
    """Decodes an image to its end, where a truncated one fails, and returns height and width."""
    with Image.open(path, formats=["JPEG", "PNG", "BMP"]) as image:
        image.load()
        if image.format == "BMP" and image.mode in ("1", "P"):
            # TensorFlow would take the indices into the palette for shades of gray.
            raise ValueError("a BMP with a palette is not supported, save it as PNG or JPEG")
        return image.height, image.width


def main(
    folder: Path,
    splits: tuple[str, ...] = (),
    ignore_class: tuple[int, ...] = (255,),
    skip_bad: bool = False,
):
    """Checks every image and every mask of a folder data set.

    Args:
        folder: The folder: `images/`, `labels/`, `classes.txt`, and a list of stems a split.
        splits: The splits to check, all by default.
        ignore_class: The labels of pixels without a class.
        skip_bad: Whether to end well if training with `--skip-bad` would: if each split keeps at
            least one image when those with a problem are left out.
    """
    failed = []
    for name in splits or split_names(folder) or ("train",):
        try:
            split = read_split(folder, name)
            report = check_split(split, ignore_class)
            print(report)
            for stem, message in report.problems:
                print(f"  {stem}: {message}")
            if skip_bad:
                split.without(report.bad_stems)
            elif report.problems:
                failed.append(name)
        except (FileNotFoundError, ValueError) as error:
            print(error)
            failed.append(name)
    if failed:
        sys.exit(f"Not fit for use: {', '.join(failed)}")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
