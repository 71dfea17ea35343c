"""Where scaled images and their windows lie: the geometry of `MultiScaleSegmenter`.

Sizes are `(height, width)` of integers. The released code and mmsegmentation differ in all of it
but the number of windows.
"""

import numpy as np
import tensorflow as tf


def long_side_size(size, long_side):
    """Scales `size` to a long side, the other rounded to the nearest, as the released code does."""
    height, width = size
    if height > width:
        return long_side, max(int(width * long_side / height + 0.5), 1)
    return max(int(height * long_side / width + 0.5), 1), long_side


def fitted_size(size, bounds):
    """Scales `size` to the largest within `bounds`, keeping its ratio, as mmcv does.

    Args:
        size: what to scale.
        bounds: two integers in either order, of the long and of the short side.
    """
    factor = min(max(bounds) / max(size), min(bounds) / min(size))
    return tuple(max(int(side * factor + 0.5), 1) for side in size)


def window_starts(side, crop, stride):
    """Returns where windows begin, `stride` apart; the last reaches the end or passes it."""
    return [stride * i for i in range(-(-max(side - crop, 0) // stride) + 1)]


def shifted_starts(side, crop, stride):
    """The same with what passes the end shifted back, as mmsegmentation does."""
    return [min(start, max(side - crop, 0)) for start in window_starts(side, crop, stride)]


def pad(image, size, value):
    """Pads an image `(height, width, 3)` to `size`, at the right and at the bottom."""
    padded = np.empty((*size, 3), "float32")
    padded[:] = value
    padded[: image.shape[0], : image.shape[1]] = image
    return padded


def resize(pixels, size, align_corners):
    """Resizes `(height, width, channels)` bilinearly, without antialiasing, to a NumPy array."""
    resized = tf.raw_ops.ResizeBilinear(
        images=pixels[None],
        size=size,
        align_corners=align_corners,
        half_pixel_centers=not align_corners,
    )
    return np.asarray(resized)[0]


def average_of_windows(run, image, starts, size, batch_size, inside=None):
    """Runs windows of an image and averages what they say where they overlap.

    Args:
        run: maps windows `(batch, *size, 3)` to scores `(batch, *size, classes)`.
        image: `(height, width, 3)`, which the windows don't leave.
        starts: two lists, where windows begin vertically and horizontally.
        size: height and width of the windows.
        batch_size: windows run at a time.
        inside: height and width of what is wanted, from the image's top left;
            all by default.

    Returns:
        `(*inside, classes)`, float32.

    Raises:
        ValueError: if `run` answers with another shape.
    """
    inside = inside or image.shape[:2]
    corners = [(top, left) for top in starts[0] for left in starts[1]]
    if len(corners) == 1:
        # Without the copy: a whole image's scores may be large.
        return _answers(run, image[None])[0][: inside[0], : inside[1]]
    total, counts = None, np.zeros((*inside, 1), "float32")
    for i in range(0, len(corners), batch_size):
        areas = [
            np.s_[top : top + size[0], left : left + size[1]]
            for top, left in corners[i : i + batch_size]
        ]
        answers = _answers(run, np.stack([image[area] for area in areas]))
        if total is None:
            total = np.zeros((*inside, answers.shape[-1]), "float32")
        for area, answer in zip(areas, answers, strict=True):
            counts[area] += 1
            height, width = counts[area].shape[:2]
            # Too large for float32 is told from the result.
            with np.errstate(over="ignore"):
                total[area] += answer[:height, :width]
    total /= counts
    return total


def _answers(run, windows):
    answers = np.asarray(run(windows))
    if answers.ndim != 4 or answers.shape[:3] != windows.shape[:3]:
        raise ValueError(
            "The model must answer with logits at input size, `(batch, height, width, classes)`. "
            f"Received: {answers.shape} for images {windows.shape}"
        )
    return answers
