"""Batch normalization, fused on one device and synchronized on several."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_encnet.utils import compat

# Input dtypes of TensorFlow's fused operation.
_FUSED_DTYPES = ("float32", "bfloat16", "float16")


@keras.saving.register_keras_serializable(package="keras_encnet")
class BatchNormalization(compat.BatchNormalization):
    """Keras's batch normalization, faster on one device and exact on several.

    Arguments, weights and results are those of `keras.layers.BatchNormalization`. The
    differences:

    - Keras uses elementary operations. For images normalized over the last axis, this layer uses
      TensorFlow's fused operation, forward and backward.
    - When training under a `tf.distribute` strategy, the statistics are always those of the batch
      of all replicas. With `synchronized=True`, Keras needs three all-reduces and computes the
      variance as a difference of large numbers. This layer needs one all-reduce, of moments
      around the moving mean.
    - A training batch with a single value per channel, such as one image after global pooling, has
      no variance. It is normalized by the moving statistics and does not change them.

    Example:

    >>> import numpy as np
    >>> BatchNormalization()(np.ones((2, 8, 8, 16))).shape
    TensorShape([2, 8, 8, 16])

    References:
        - [Batch Normalization](https://arxiv.org/abs/1502.03167)
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        batch_statistics = bool(training and self.trainable)
        pooled = tuple(inputs.shape[1:-1]) == (1, 1)  # a batch of 1 has no variance
        fusible = (
            mask is None
            and not (batch_statistics and pooled)
            and not self.renorm
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and inputs.dtype in _FUSED_DTYPES
        )
        if not fusible or (batch_statistics and _replicas() > 1):
            return super().call(inputs, training=training, mask=mask)

        dtype = "float32"
        one, zero = tf.ones(self.moving_mean.shape), tf.zeros(self.moving_mean.shape)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, dtype) if self.scale else one,
            offset=tf.cast(self.beta, dtype) if self.center else zero,
            mean=tf.cast(self.moving_mean, dtype),
            variance=tf.cast(self.moving_variance, dtype),
            epsilon=self.epsilon,
            is_training=batch_statistics,
        )
        if batch_statistics:
            # The operation returns the unbiased variance, Keras uses the biased one.
            pixels = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], dtype)
            self._update(self.moving_mean, mean)
            self._update(self.moving_variance, variance * (pixels - 1) / pixels)
        return tf.cast(outputs, self.compute_dtype)

    def _update(self, moving, value):
        value = tf.cast(value, moving.dtype)
        moving.assign(moving * self.momentum + value * (1.0 - self.momentum))

    def batch_moments(
        self, inputs: tf.Tensor, mask: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns mean and variance of the batch, over all replicas."""
        if mask is not None:
            return super().batch_moments(inputs, mask)
        count = tf.size(inputs) // inputs.shape[self.axis]
        if _replicas() == 1:
            return self._if_varied(*super().batch_moments(inputs, mask), count)
        replica = tf.distribute.get_replica_context()
        axes = [i for i in range(len(inputs.shape)) if i != self.axis % len(inputs.shape)]
        mean, variance = tf.nn.moments(inputs, axes)
        count = tf.cast(count, inputs.dtype)
        # Around a point that all replicas share and that is near the mean, so that the difference
        # of squares below does not cancel.
        origin = tf.cast(self.moving_mean, inputs.dtype)
        mean -= origin
        sums = tf.concat([count[None], count * mean, count * (variance + mean**2)], axis=0)
        sums = replica.all_reduce("sum", sums)
        first, second = tf.split(sums[1:] / sums[0], 2)
        return self._if_varied(origin + first, tf.maximum(second - first**2, 0.0), sums[0])

    def _if_varied(self, mean, variance, count):
        """Returns the moments of `count` values per channel; of a single one, the moving ones."""
        varied = count > 1
        return (
            tf.where(varied, mean, tf.cast(self.moving_mean, mean.dtype)),
            tf.where(varied, variance, tf.cast(self.moving_variance, variance.dtype)),
        )


def _replicas():
    replica = tf.distribute.get_replica_context()
    return 1 if replica is None else replica.num_replicas_in_sync
