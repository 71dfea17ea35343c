"""Average pooling to a fixed number of bins, for images of any size."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_encnet.utils.checks import check_count
from keras_encnet.utils.numerics import at_least_float32


@keras.saving.register_keras_serializable(package="keras_encnet")
class AdaptiveAveragePooling(keras.layers.Layer):
    """Averages feature maps over a grid of bins.

    Of `n` bins along an axis of `size` pixels, bin `i` covers the pixels from `floor(i * size / n)`
    to `ceil((i + 1) * size / n)`, the latter excluded, as in PyTorch. If `n` does not divide
    `size`, neighboring bins overlap by a pixel. `keras.layers.AdaptiveAveragePooling2D` requires
    sizes that are known when the graph is built; here they may be unknown. Averages are computed
    in float32 under every dtype policy.

    Example:

    >>> import numpy as np
    >>> pixels = np.arange(5.0).reshape(1, 1, 5, 1)
    >>> AdaptiveAveragePooling(2)(pixels)[0, 0, :, 0].numpy().tolist()
    [1.0, 3.0]

    Args:
        bins: Integer, number of bins along each axis.

    Input shape:
        `(batch, height, width, channels)` with known channels.

    Output shape:
        `(batch, bins, bins, channels)`, in the compute dtype of the layer.

    Raises:
        ValueError: If `bins` is not a positive integer, or the input does not have four axes.

    References:
        - [Pyramid Scene Parsing Network](https://arxiv.org/abs/1612.01105), section 3.2
    """

    def __init__(self, bins: int, **kwargs: Any):
        check_count("bins", bins)
        super().__init__(autocast=False, **kwargs)
        self.bins = bins

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                "Expected a tensor `(batch, height, width, channels)`. Received: "
                f"shape={tuple(input_shape)}"
            )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        bins, channels = self.bins, x.shape[-1]
        height, width = tf.unstack(tf.shape(x)[1:3])
        x = tf.cast(x, at_least_float32(self.compute_dtype))
        rows, columns = self._members(height, x.dtype), self._members(width, x.dtype)
        x = tf.matmul(columns, x)
        x = tf.matmul(rows, tf.reshape(x, (-1, height, bins * channels)))
        sums = tf.reshape(x, (-1, bins, bins, channels))
        counts = tf.reduce_sum(rows, 1)[:, None] * tf.reduce_sum(columns, 1)
        return tf.cast(sums / counts[..., None], self.compute_dtype)

    def _members(self, size, dtype):
        """Returns the matrix `(bins, size)` with 1 for the pixels of each bin, otherwise 0.

        Unlike averages, these factors of a product are exact also in the TF32 of recent GPUs.
        """
        i, pixel = tf.range(self.bins)[:, None], tf.range(size)
        start = i * size // self.bins
        end = ((i + 1) * size + self.bins - 1) // self.bins
        return tf.cast((start <= pixel) & (pixel < end), dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.bins, self.bins, input_shape[-1])

    def get_config(self) -> dict:
        return {**super().get_config(), "bins": self.bins}
