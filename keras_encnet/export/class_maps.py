"""From logits to class maps, within the graph."""

import tensorflow as tf

# Values of the upsampled logits that are in memory at a time: they stay in a processor's cache.
STRIP_VALUES = 2**19


def class_maps(logits, height, width, align_corners):
    """Upsamples logits and picks the largest of each pixel, strip by strip.

    It computes what `BilinearUpsampling` and arg-max do, and never holds the
    upsampled logits of a whole image: those of 150 classes at 4096 x 4096
    pixels would be 10 GB.

    Args:
        logits: float32 `(batch, rows, columns, classes)`.
        height: scalar, of the class maps.
        width: scalar, likewise.
        align_corners: see `BilinearUpsampling`.

    Returns:
        uint8 up to 256 classes, int32 above: `(batch, height, width)`.
    """
    classes = logits.shape[-1]
    shape = tf.shape(logits)
    dtype = tf.uint8 if classes <= 256 else tf.int32
    upper, lower, down = _neighbors(height, shape[1], align_corners)
    left, right, across = _neighbors(width, shape[2], align_corners)
    down, across = down[:, None, None], across[:, None]
    rows = tf.maximum(1, STRIP_VALUES // (width * classes))
    strips = -(-height // rows)  # an image

    def strip(i):
        of_image, first = logits[i // strips], i % strips * rows
        part = slice(first, tf.minimum(first + rows, height))
        x = _between(tf.gather(of_image, upper[part]), tf.gather(of_image, lower[part]), down[part])
        x = _between(tf.gather(x, left, axis=1), tf.gather(x, right, axis=1), across)
        maps = tf.cast(tf.argmax(x, -1, tf.int32), dtype)
        missing = rows - tf.shape(maps)[0]  # of an image's last strip: all are of one size
        return tf.pad(maps, ((0, missing), (0, 0)))

    maps = tf.map_fn(
        strip, tf.range(shape[0] * strips), fn_output_signature=dtype, parallel_iterations=2
    )
    return tf.reshape(maps, (shape[0], strips * rows, width))[:, :height]


def _between(first, second, share):
    return first + (second - first) * share


def _neighbors(size, source_size, align_corners):
    """Returns, for each of `size` pixels, the two of the source around it and the second's share.

    As in TensorFlow's ResizeBilinear, in float32.
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
