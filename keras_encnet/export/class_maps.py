"""From logits to class maps, within the graph."""

import tensorflow as tf

# Number of upsampled logits in memory at a time, so that they fit into a processor's cache.
STRIP_VALUES = 2**19


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
    classes = logits.shape[-1]
    shape = tf.shape(logits)
    dtype = tf.uint8 if classes <= 256 else tf.int32
    upper, lower, down = _neighbors(height, shape[1], align_corners)
    left, right, across = _neighbors(width, shape[2], align_corners)
    down, across = down[:, None, None], across[:, None]
    rows = tf.maximum(1, STRIP_VALUES // (width * classes))
    strips = -(-height // rows)  # per image

    def strip(i):
        of_image, first = logits[i // strips], i % strips * rows
        part = slice(first, tf.minimum(first + rows, height))
        above, below = tf.gather(of_image, upper[part]), tf.gather(of_image, lower[part])
        x = _interpolate(above, below, down[part])
        x = _interpolate(tf.gather(x, left, axis=1), tf.gather(x, right, axis=1), across)
        maps = tf.cast(tf.argmax(x, -1, tf.int32), dtype)
        missing = rows - tf.shape(maps)[0]  # in the last strip of an image
        return tf.pad(maps, ((0, missing), (0, 0)))

    maps = tf.map_fn(
        strip, tf.range(shape[0] * strips), fn_output_signature=dtype, parallel_iterations=2
    )
    return tf.reshape(maps, (shape[0], strips * rows, width))[:, :height]


def _interpolate(first, second, weight):
    return first + (second - first) * weight


def _neighbors(size, source_size, align_corners):
    """Returns the two source pixels around each of `size` pixels, and the weight of the second.

    Computed in float32, like TensorFlow's ResizeBilinear.
    """
    pixels = tf.range(size, dtype=tf.float32)
    last = tf.cast(source_size - 1, tf.float32)
    if align_corners:
        step = last / tf.maximum(tf.cast(size - 1, tf.float32), 1.0)
        at = pixels * step
    else:
        step = tf.cast(source_size, tf.float32) / tf.cast(size, tf.float32)
        at = tf.maximum((pixels + 0.5) * step - 0.5, 0.0)
    first = tf.minimum(tf.floor(at), last)
    second = tf.minimum(first + 1, last)
    return tf.cast(first, tf.int32), tf.cast(second, tf.int32), at - first
