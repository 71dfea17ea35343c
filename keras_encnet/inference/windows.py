"""The average over windows, and resizing without antialiasing.

Sizes are pairs of integers `(height, width)`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_encnet.utils.class_maps import neighbors

# Number of values that `resize_rows` resizes at a time.
STRIP_VALUES = 2**22


def pad(image: np.ndarray, size: Sequence[int], value: np.ndarray | float) -> np.ndarray:
    """Pads an image `(height, width, channels)` to `size` at the right and at the bottom."""
    padded = np.empty((*size, image.shape[-1]), "float32")
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
) -> Iterator[np.ndarray]:
    """Runs windows of an image and averages their scores where they overlap.

    Args:
        run: function from windows `(batch, *size, channels)` to scores `(batch, *size, classes)`.
        image: `(height, width, channels)`; all windows must lie inside.
        starts: the starts of windows along the height and along the width.
        size: height and width of the windows.
        batch_size: windows per call of `run`.
        region: height and width of the scores to return, from the top left of the image. Defaults
            to the size of the image.

    Yields:
        Scores of consecutive rows from the top, `(rows, region width, classes)`, float32, which
        together have the height of the region. They are valid until the next ones are requested,
        so that those of one row of windows are in memory.

    Raises:
        ValueError: if `run` returns another shape.
    """
    region, (tops, lefts) = region or image.shape[:2], starts
    if len(tops) == len(lefts) == 1:
        # Without a copy: the scores of a whole image can be large.
        yield _run_checked(run, image[None])[0][: region[0], : region[1]]
        return
    total: Any = None
    counts = np.zeros((size[0], region[1], 1), "float32")
    for top, end in zip(tops, [*tops[1:], region[0]], strict=True):
        for left, scores in _run_row(run, image, top, lefts, size, batch_size):
            if total is None:
                total = np.zeros((size[0], region[1], scores.shape[-1]), "float32")
            area = np.s_[:, left : left + size[1]]
            counts[area] += 1
            # Overflow is found in the result.
            with np.errstate(over="ignore"):
                total[area] += scores[:, : total[area].shape[1]]
        complete = end - top
        total[:complete] /= counts[:complete]
        yield total[:complete]
        for rows in (total, counts):
            rows[: size[0] - complete] = rows[complete:]
            rows[max(size[0] - complete, 0) :] = 0


def _run_row(run, image, top, lefts, size, batch_size):
    """Yields the start and the scores of each window in a row of windows."""
    for i in range(0, len(lefts), batch_size):
        batch = lefts[i : i + batch_size]
        windows = [image[top : top + size[0], left : left + size[1]] for left in batch]
        yield from zip(batch, _run_checked(run, np.stack(windows)), strict=True)


def _run_checked(run, windows):
    scores = np.asarray(run(windows))
    if scores.ndim != 4 or scores.shape[:3] != windows.shape[:3]:
        raise ValueError(
            "The model must return logits at the size of its input, `(batch, height, width, "
            f"classes)`. Received: output of shape {scores.shape} for images {windows.shape}"
        )
    return scores


def resize_rows(
    blocks: Iterable[np.ndarray], height: int, size: Sequence[int], align_corners: bool
) -> Iterator[np.ndarray]:
    """Resizes consecutive rows, like `resize`, in strips.

    Args:
        blocks: rows from the top, `(rows, width, channels)`, in total `height` of them.
        height: number of rows of all blocks.
        size: height and width of the result.
        align_corners: see `resize`.

    Yields:
        Consecutive rows of the result, `(rows, size[1], channels)`.
    """
    down = neighbors(size[0], height, align_corners)
    first, second = down.first.numpy(), down.second.numpy()
    start, begin, previous = 0, 0, None  # the next row, the first row of the block, the one before
    for block in blocks:
        stop = int(np.searchsorted(second, begin + len(block)))  # rows with both neighbors
        step = max(1, STRIP_VALUES // (size[1] * block.shape[-1]))
        for i in range(start, stop, step):
            j = min(i + step, stop)
            low = first[i] - begin
            rows = block[max(low, 0) : second[j - 1] + 1 - begin]
            if low < 0:
                rows = np.concatenate([previous, rows])
            rows = resize(rows, (len(rows), size[1]), align_corners)
            weight = down.weight[i:j, None, None].numpy()
            above, below = rows[first[i:j] - first[i]], rows[second[i:j] - first[i]]
            yield above + (below - above) * weight
        start, begin, previous = stop, begin + len(block), block[-1:].copy()
