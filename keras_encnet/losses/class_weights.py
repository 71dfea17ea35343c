"""Class weights from the number of pixels of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def balanced_class_weights(pixel_counts: ArrayLike) -> np.ndarray:
    """Returns weights with which every class has the same total weight.

    The weight of a class is `pixels / (classes * pixels of the class)`, as of
    `class_weight="balanced"` in scikit-learn, where only classes with pixels are counted. Classes
    without pixels get 0.

    Example:

    >>> balanced_class_weights([60, 30, 10]).round(3).tolist()
    [0.556, 1.111, 3.333]

    Args:
        pixel_counts: Integers `(classes,)`, labeled pixels of each class.

    Returns:
        Floats `(classes,)`.

    Raises:
        ValueError: If a number is negative or all are 0.
    """
    counts = _checked_counts("pixel_counts", pixel_counts)
    return _divide(counts.sum() / np.count_nonzero(counts), counts)


def median_frequency_class_weights(
    pixel_counts: ArrayLike, image_pixel_counts: ArrayLike
) -> np.ndarray:
    """Returns the median frequency divided by the frequency of each class.

    The frequency of a class is its number of pixels, divided by the number of labeled pixels of
    the images that show it. The median is over the classes with pixels; others get 0.

    Example:

    >>> median_frequency_class_weights([60, 30, 10], [100, 100, 50]).round(3).tolist()
    [0.5, 1.0, 1.5]

    Args:
        pixel_counts: Integers `(classes,)`, labeled pixels of each class.
        image_pixel_counts: Integers `(classes,)`, labeled pixels of the images with the class.

    Returns:
        Floats `(classes,)`.

    Raises:
        ValueError: If a number is negative, if all are 0, or if a class has more pixels than the
            images that show it.

    References:
        - [Predicting Depth, Surface Normals and Semantic Labels with a Common Multi-Scale
          Convolutional Architecture](https://arxiv.org/abs/1411.4734), section 6.3.2
    """
    counts = _checked_counts("pixel_counts", pixel_counts)
    totals = _checked_counts("image_pixel_counts", image_pixel_counts)
    if counts.shape != totals.shape or (counts > totals).any():
        raise ValueError(
            "`image_pixel_counts` must be at least `pixel_counts`, for each class. Received: "
            f"pixel_counts={counts.tolist()}, image_pixel_counts={totals.tolist()}"
        )
    frequencies = _divide(counts, totals)
    return _divide(np.median(frequencies[counts > 0]), frequencies)


def _checked_counts(name, counts):
    counts = np.asarray(counts, "float64")
    if counts.ndim != 1 or not counts.any() or counts.min() < 0:
        raise ValueError(
            f"`{name}` must hold one number of pixels per class, at least 0 and not all 0. "
            f"Received: {name}={counts.tolist()}"
        )
    return counts


def _divide(numerator, denominator):
    return np.divide(numerator, denominator, out=np.zeros(denominator.shape), where=denominator > 0)
