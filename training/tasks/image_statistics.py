"""Channels, mean and standard deviation of the images of a training run, found in its data."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from training.configs import SegmentationConfig
from training.input.pixels import Pixels
from training.input.report import Report
from training.input.statistics import rounded


def automatic_images(
    config: SegmentationConfig, contents: Report, pixels: Pixels
) -> dict[str, Any]:
    """Returns the number of channels, and the statistics with which images are normalized.

    Those of RGB images with 8 bits are left to the weights of the network. Others are measured on
    the training images. A channel that is constant gets a standard deviation of 1.

    Args:
        config: the recipe.
        contents: the report of the training split.
        pixels: how images are decoded.
    """
    options = {"image_channels": pixels.channels, "mean": config.mean, "std": config.std}
    if pixels.is_usual or contents.moments is None:
        return options
    mean, std = contents.moments.mean, contents.moments.std
    constant = np.flatnonzero(std == 0)
    if config.std is None and len(constant):
        print(
            f"Warning: the channels {constant.tolist()} (from 0) have one value in all training "
            "images, so a network learns nothing from them.",
            file=sys.stderr,
        )
    measured = {"mean": rounded(mean), "std": rounded(np.where(std > 0, std, 1.0))}
    return options | {name: v for name, v in measured.items() if options[name] is None}


def describe_images(config: SegmentationConfig, pixels: Pixels) -> str:
    """Returns a sentence about the channels of the images and how they are normalized."""
    if config.mean is None and config.std is None:
        return f"Images have {pixels}, normalized as the weights expect."
    given = {"mean": config.mean, "standard deviation": config.std}
    parts = (f"{name} {' '.join(f'{x:g}' for x in v)}" for name, v in given.items() if v)
    return f"Images have {pixels}, normalized by {' and '.join(parts)}."
