"""Channel attention predicted from a code of the whole image."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_encnet.utils.numerics import at_least_float32

GATINGS = ("scale", "residual")


@keras.saving.register_keras_serializable(package="keras_encnet")
class FeatureMapAttention(keras.layers.Layer):
    """Scales each feature map by a gate that is predicted from a code.

    The gates are `g = sigmoid(W e + b)`, one per channel, in float32. The output is `x * g` in the
    paper (`gating="scale"`) and `relu(x + x * g)` in the official code (`gating="residual"`).

    Example:

    >>> import numpy as np
    >>> features, code = np.ones((2, 60, 60, 512)), np.ones((2, 512))
    >>> FeatureMapAttention()(features, code).shape
    TensorShape([2, 60, 60, 512])

    Args:
        gating: `"scale"` or `"residual"`.
        kernel_initializer: Initializer of W. With `"zeros"`, all gates start at 1/2.
        bias_initializer: Initializer of b. With a kernel of zeros, `Constant(2.0)` lets all gates
            start at 0.88, almost open.

    Call arguments:
        features: Tensor `(batch, height, width, channels)` with known channels.
        code: Tensor `(batch, code_channels)` with known code_channels.

    Output shape:
        Shape of `features`, in the compute dtype of the layer.

    Raises:
        ValueError: If `gating` is unknown or an input has another rank.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904),
          section 3.1
    """

    def __init__(
        self,
        gating: str = "scale",
        kernel_initializer: str | keras.Initializer = "glorot_uniform",
        bias_initializer: str | keras.Initializer = "zeros",
        **kwargs: Any,
    ):
        if gating not in GATINGS:
            raise ValueError(f"`gating` must be one of {GATINGS}. Received: gating={gating!r}")
        super().__init__(autocast=False, **kwargs)
        self.gating = gating
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, features_shape, code_shape):
        if len(features_shape) != 4 or len(code_shape) != 2:
            raise ValueError(
                "Expected features `(batch, height, width, channels)` and a code "
                f"`(batch, code_channels)`. Received: features.shape={tuple(features_shape)}, "
                f"code.shape={tuple(code_shape)}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(code_shape[-1], features_shape[-1]),
            initializer=self.kernel_initializer,
            autocast=False,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(features_shape[-1],),
            initializer=self.bias_initializer,
            autocast=False,
        )

    def gates(self, code: tf.Tensor) -> tf.Tensor:
        """Returns the gates for `code`: `(batch, channels)`, between 0 and 1."""
        dtype = at_least_float32(self.compute_dtype)
        kernel, bias = ops.cast(self.kernel, dtype), ops.cast(self.bias, dtype)
        return ops.sigmoid(ops.matmul(ops.cast(code, dtype), kernel) + bias)

    def call(self, features: tf.Tensor, code: tf.Tensor) -> tf.Tensor:
        features = ops.cast(features, self.compute_dtype)
        gates = ops.cast(self.gates(code), self.compute_dtype)[:, None, None, :]
        if self.gating == "scale":
            return features * gates
        return ops.relu(features + features * gates)

    def compute_output_shape(self, features_shape, code_shape):
        return features_shape

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "gating": self.gating,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
