"""A dilated convolution as one operation, in training as well."""

from __future__ import annotations

import functools

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_encnet")
class DilatedConv2D(keras.layers.Conv2D):
    """Keras's Conv2D, much faster on CPUs if its dilation is large.

    Arguments, weights and results are those of `keras.layers.Conv2D`, which moves pixels to the
    batch axis and back for dilation, and pads the input by as many pixels as it reaches beyond the
    border. The padding of DeepLabv3's largest dilation, 36, makes a map of 27x36 eleven times as
    large. This layer uses TensorFlow's operation with dilation, which skips what lies outside,
    where TensorFlow can compute its gradient: in float32 and bfloat16 with oneDNN, or on a GPU.

    Example:

    >>> import numpy as np
    >>> DilatedConv2D(4, 3, dilation_rate=36, padding="same")(np.ones((1, 27, 36, 8))).shape
    TensorShape([1, 27, 36, 4])
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the result of the convolution."""
        plain = self.data_format == "channels_last" and self.groups == 1
        if not (plain and self.padding in ("same", "valid") and _has_gradient(self.compute_dtype)):
            return super().call(inputs)
        return self.activation(convolve(self, inputs))


def convolve(layer: keras.layers.Conv2D, x: tf.Tensor) -> tf.Tensor:
    """Returns the convolution of a layer without groups, in one operation, and its bias."""
    kernel, padding = tf.convert_to_tensor(layer.kernel), layer.padding.upper()
    x = tf.nn.conv2d(x, kernel, layer.strides, padding, dilations=layer.dilation_rate)
    return tf.nn.bias_add(x, tf.convert_to_tensor(layer.bias)) if layer.use_bias else x


@functools.cache
def _has_gradient(dtype: str) -> bool:
    """Returns whether TensorFlow can compute the gradient of a dilated convolution here."""
    options = {"strides": [1] * 4, "padding": "SAME", "dilations": [1, 2, 2, 1]}
    with tf.init_scope():
        # Not with a GradientTape, which records nothing in an init_scope.
        images, kernel = tf.ones((1, 8, 8, 4), dtype), tf.ones((3, 3, 4, 4), dtype)
        y = tf.ones_like(images)
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=images.shape, filter=kernel, out_backprop=y, **options
            )
            tf.raw_ops.Conv2DBackpropFilter(
                input=images, filter_sizes=kernel.shape, out_backprop=y, **options
            )
        except tf.errors.OpError:
            return False
    return True
