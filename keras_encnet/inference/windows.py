"""Sizes of scaled images, and the average over windows.

Sizes are pairs of integers `(height, width)`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf


def long_side_size(size: Sequence[int], long_side: int) -> tuple[int, int]:
    """Scales `size` to a long side and rounds the other, like the official code."""
    height, width = size
    if height > width:
        return long_side, max(int(width * long_side / height + 0.5), 1)
    return max(int(height * long_side / width + 0.5), 1), long_side


def fitted_size(size: Sequence[int], bounds: Sequence[int]) -> tuple[int, ...]:
    """Scales `size` to the largest size within `bounds` with the same aspect ratio, like mmcv.

    Args:
        size: the size to scale.
        bounds: upper bounds of the long side and of the short side, in either order.
    """
    factor = min(max(bounds) / max(size), min(bounds) / min(size))
    return tuple(max(int(side * factor + 0.5), 1) for side in size)


def pad(image: np.ndarray, size: Sequence[int], value: np.ndarray | float) -> np.ndarray:
    """Pads an image `(height, width, 3)` to `size` at the right and at the bottom."""
    padded = np.empty((*size, 3), "float32")
    padded[:] = value
    padded[: image.shape[0], : image.shape[1]] = image
    return padded


def resize(pixels: np.ndarray, size: Sequence[int], align_corners: bool) -> np.ndarray:
    """Resizes `(height, width, channels)` bilinearly, without antialiasing."""
    resized = tf.raw_ops.ResizeBilinear(
        images=pixels[None],
        size=size,
        align_corners=align_corners,
        half_pixel_centers=not align_corners,
    )
    return np.asarray(resized)[0]


def average_over_windows(
    run: Callable[[np.ndarray], tf.Tensor],
    image: np.ndarray,
    starts: Sequence[Sequence[int]],
    size: Sequence[int],
    batch_size: int,
    region: Sequence[int] | None = None,
) -> np.ndarray:
    """Runs windows of an image and averages their scores where they overlap.

    Args:
        run: function from windows `(batch, *size, 3)` to scores `(batch, *size, classes)`.
        image: `(height, width, 3)`; all windows must lie inside.
        starts: the starts of windows along the height and along the width.
        size: height and width of the windows.
        batch_size: windows per call of `run`.
        region: height and width of the scores to return, from the top left of the image. Defaults
            to the size of the image.

    Returns:
        Scores `(*region, classes)`, float32.

    Raises:
        ValueError: if `run` returns another shape.
    """
    region = region or image.shape[:2]
    corners = [(top, left) for top in starts[0] for left in starts[1]]
    if len(corners) == 1:
        # Without a copy: the scores of a whole image can be large.
        return _run_checked(run, image[None])[0][: region[0], : region[1]]
    total, counts = None, np.zeros((*region, 1), "float32")
    for i in range(0, len(corners), batch_size):
        areas = [
            np.s_[top : top + size[0], left : left + size[1]]
            for top, left in corners[i : i + batch_size]
        ]
        batch = _run_checked(run, np.stack([image[area] for area in areas]))
        if total is None:
            total = np.zeros((*region, batch.shape[-1]), "float32")
        for area, scores in zip(areas, batch, strict=True):
            counts[area] += 1
            height, width = counts[area].shape[:2]
            # Overflow is found in the result.
            with np.errstate(over="ignore"):
                total[area] += scores[:height, :width]
    total /= counts
    return total


def _run_checked(run, windows):
    scores = np.asarray(run(windows))
    if scores.ndim != 4 or scores.shape[:3] != windows.shape[:3]:
        raise ValueError(
            "The model must return logits at the size of its input, `(batch, height, width, "
            f"classes)`. Received: output of shape {scores.shape} for images {windows.shape}"
        )
    return scores
