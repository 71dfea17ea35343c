"""Opening and checking the splits of a data set before they are used."""

from __future__ import annotations

import dataclasses
import sys

from training.configs import SegmentationConfig
from training.input.folder import Split, overlap_problem
from training.input.folder_check import check_split
from training.input.pixels import pixels_of
from training.input.report import Report


def with_pixels(channels: int | None, *splits: Split) -> list[Split]:
    """Returns splits whose images are all decoded in the same way.

    Args:
        channels: the number of channels, by default that of the images.
        *splits: the splits of a data set.

    Raises:
        ValueError: if `.npy` files have other numbers of channels than other images.
    """
    pixels = pixels_of([path for split in splits for path in split.image_paths], channels)
    return [dataclasses.replace(split, pixels=pixels) for split in splits]


def checked(
    config: SegmentationConfig, split: Split, every_class: bool = False
) -> tuple[Split, Report]:
    """Reads every file of a split once.

    Args:
        config: the recipe.
        split: the split.
        every_class: whether every class must have a pixel in it.

    Returns:
        The split without images that cannot be used, and the report of its contents.

    Raises:
        ValueError: if files or labels cannot be used; it names them.
    """
    print(f"Reading the {len(split)} images and masks of {split.name} once.", flush=True)
    report = check_split(split, config.ignore_class)
    if not config.skip_bad:
        report.raise_if_bad()
    report.raise_if_unusable(every_class)
    for stem, problem in report.problems:
        print(f"Skipping {stem}: {problem}", file=sys.stderr)
    return split.without(report.bad_stems), report


def check_overlap(train: Split, val: Split) -> None:
    """Warns about validation images that are training images as well; refuses if all of them are.

    Raises:
        ValueError: if the validation split has no other image, and was not named as a part.
    """
    remedy = (
        "To validate on a part of the training images, pass `--val-share 0.2`; to validate on all "
        f"of them, `--val-split {train.name}`."
    )
    if set(val.stems) <= set(train.stems) and (problem := overlap_problem(train, val, remedy)):
        raise ValueError(problem)
    if problem := overlap_problem(train, val):
        print(f"Warning: {problem}", file=sys.stderr)
