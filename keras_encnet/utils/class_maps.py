"""From logits to predictions, in strips: upsampled logits of an entire image are large."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

# Number of upsampled logits in memory at a time, so that they fit into a processor's cache.
STRIP_VALUES = 2**19


class Neighbors(NamedTuple):
    """The two source pixels around each target pixel along one axis.

    Attributes:
        first: int32 `(pixels,)`, index of the first source pixel.
        second: int32 `(pixels,)`, index of the second.
        weight: float32 `(pixels,)`, weight of the second, 0 to 1.
    """

    first: tf.Tensor
    second: tf.Tensor
    weight: tf.Tensor

    def part(self, start: int | tf.Tensor, stop: int | tf.Tensor) -> Neighbors:
        """Returns the neighbors of the target pixels from `start` up to `stop`."""
        return Neighbors(*(value[start:stop] for value in self))


def neighbors(
    size: int | tf.Tensor,
    source_size: int | tf.Tensor,
    align_corners: bool,
    pixels: tf.Tensor | None = None,
) -> Neighbors:
    """Returns the neighbors of `size` target pixels in `source_size` source pixels.

    Computed in float32, like TensorFlow's ResizeBilinear.

    Args:
        size: number of target pixels.
        source_size: number of source pixels.
        align_corners: see `BilinearUpsampling`.
        pixels: float32, only these target pixels, which may lie between two. All by default.
    """
    if pixels is None:
        pixels = tf.range(size, dtype=tf.float32)
    last = tf.cast(source_size - 1, tf.float32)
    if align_corners:
        step = last / tf.maximum(tf.cast(size - 1, tf.float32), 1.0)
        at = pixels * step
    else:
        step = tf.cast(source_size, tf.float32) / tf.cast(size, tf.float32)
        at = (pixels + 0.5) * step - 0.5
    at = tf.maximum(at, 0.0)
    first = tf.minimum(tf.floor(at), last)
    second = tf.minimum(first + 1, last)
    return Neighbors(tf.cast(first, tf.int32), tf.cast(second, tf.int32), at - first)


def interpolate(pixels: tf.Tensor, down: Neighbors, across: Neighbors) -> tf.Tensor:
    """Interpolates `(rows, columns, channels)` bilinearly.

    Args:
        pixels: float32 `(rows, columns, channels)`.
        down: neighbors of the target rows.
        across: neighbors of the target columns.

    Returns:
        float32 `(target rows, target columns, channels)`.
    """
    x = _mix(
        tf.gather(pixels, down.first),
        tf.gather(pixels, down.second),
        down.weight[:, None, None],
    )
    return _mix(
        tf.gather(x, across.first, axis=1),
        tf.gather(x, across.second, axis=1),
        across.weight[:, None],
    )


def dtype_of(classes: int) -> str:
    """Returns the dtype of class ids: uint8 for up to 256 classes, otherwise int32."""
    return "uint8" if classes <= 256 else "int32"


def class_maps(
    logits: tf.Tensor, height: tf.Tensor, width: tf.Tensor, align_corners: bool
) -> tf.Tensor:
    """Returns the arg-max of upsampled logits, computed in horizontal strips.

    Equivalent to `BilinearUpsampling` and arg-max, without the upsampled logits of an entire
    image in memory: 10 GB for 150 classes at 4096x4096 pixels.

    Args:
        logits: float32 `(batch, rows, columns, classes)`.
        height: scalar, height of the class maps.
        width: scalar, width of the class maps.
        align_corners: see `BilinearUpsampling`.

    Returns:
        Class ids `(batch, height, width)`, uint8 for up to 256 classes, otherwise int32.
    """
    shape = tf.shape(logits)
    down = neighbors(height, shape[1], align_corners)
    across = neighbors(width, shape[2], align_corners)
    return _in_strips(
        shape[0],
        height,
        width,
        logits.shape[-1],
        lambda image, start, stop: interpolate(logits[image], down.part(start, stop), across),
    )


def blended_windows(
    logits: tf.Tensor,
    corners: tf.Tensor,
    window: tf.Tensor,
    rows: tf.Tensor,
    columns: tf.Tensor,
    align_corners: bool,
    probabilities: bool = False,
) -> tf.Tensor:
    """Returns the prediction for an area from the mean of the logits of windows that cover it.

    The weight of a window falls towards its border, so that there are no seams: it is the product,
    over both axes, of the distance of the pixel's center from the nearest border of the window.

    Args:
        logits: float32 `(windows, rows, columns, classes)`, logits of each window.
        corners: int32 `(windows, 2)`, top and left of each window in the image.
        window: int32 `(2,)`, height and width of the windows.
        rows: float32, the rows of the area in the image, which may lie between two pixels.
        columns: float32, its columns.
        align_corners: see `BilinearUpsampling`.
        probabilities: whether to return probabilities, the softmax of the mean.

    Returns:
        Class ids `(height, width)` of the area, as `class_maps`, or probabilities, float32
        `(height, width, classes)`.
    """
    shape = tf.shape(logits)

    def mean(_, start, stop):
        def of_window(elements):
            logits, (top, left) = elements[0], tf.unstack(tf.cast(elements[1], tf.float32))
            y, x = rows[start:stop] - top, columns - left
            down = neighbors(window[0], shape[1], align_corners, y)
            across = neighbors(window[1], shape[2], align_corners, x)
            weights = _distances(y, window[0])[:, None, None] * _distances(x, window[1])[:, None]
            return interpolate(logits, down, across) * weights, weights

        windows, weights = tf.map_fn(
            of_window, (logits, corners), fn_output_signature=(tf.float32, tf.float32)
        )
        return tf.reduce_sum(windows, 0) / tf.reduce_sum(weights, 0)

    size = tf.size(rows), tf.size(columns)
    return _in_strips(1, *size, logits.shape[-1], mean, probabilities)[0]


def _distances(pixels, side):
    """Returns the distances of the centers of pixels from the nearest end of a side, above 0."""
    centers = pixels + 0.5
    return tf.maximum(tf.minimum(centers, tf.cast(side, tf.float32) - centers), 1e-3)


def _in_strips(images, height, width, classes, logits_of, probabilities=False):
    """Returns class maps `(images, height, width)`, or probabilities with one more axis.

    `logits_of(image, start, stop)` returns the logits of some rows.
    """
    dtype = tf.as_dtype("float32" if probabilities else dtype_of(classes))
    rows = tf.maximum(1, STRIP_VALUES // (width * classes))
    strips = -(-height // rows)  # per image

    def strip(i):
        start = i % strips * rows
        x = logits_of(i // strips, start, tf.minimum(start + rows, height))
        maps = tf.nn.softmax(x) if probabilities else tf.cast(tf.argmax(x, -1, tf.int32), dtype)
        missing = rows - tf.shape(maps)[0]  # in the last strip of an image
        return tf.pad(maps, [(0, missing)] + [(0, 0)] * (2 if probabilities else 1))

    maps = tf.map_fn(
        strip, tf.range(images * strips), fn_output_signature=dtype, parallel_iterations=2
    )
    shape = (images, strips * rows, width, *([classes] if probabilities else []))
    return tf.reshape(maps, shape)[:, :height]


def _mix(first, second, weight):
    return first + (second - first) * weight
