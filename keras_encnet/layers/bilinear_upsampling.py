"""Bilinear resizing to the size of another tensor."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_encnet")
class BilinearUpsampling(keras.layers.Layer):
    """Resizes `x` to the height and width of `reference`.

    Keras's resizing layers require sizes that are known when the graph is built; here both may be
    unknown. The output is float32 under every dtype policy, since it holds logits.

    Example:

    >>> import numpy as np
    >>> logits, images = np.ones((1, 60, 60, 21)), np.ones((1, 480, 480, 3))
    >>> BilinearUpsampling()(logits, images).shape
    TensorShape([1, 480, 480, 21])

    Args:
        align_corners: Boolean. If true, the centers of the corner pixels are aligned, as in the
            official code. Otherwise the outer edges are aligned (half-pixel centers), as in
            mmsegmentation and `tf.image.resize`.

    Call arguments:
        x: Tensor `(batch, height, width, channels)`.
        reference: Tensor whose second and third axes are the height and width of the output.

    Output shape:
        `(batch, reference height, reference width, channels)`, float32.

    Raises:
        ValueError: If an input does not have four axes.
    """

    def __init__(self, align_corners: bool = False, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.align_corners = align_corners

    def build(self, x_shape, reference_shape):
        if len(x_shape) != 4 or len(reference_shape) != 4:
            raise ValueError(
                "Expected two tensors `(batch, height, width, channels)`. Received: "
                f"x.shape={tuple(x_shape)}, reference.shape={tuple(reference_shape)}"
            )

    def call(self, x: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ResizeBilinear(
            images=tf.cast(x, tf.float32),
            size=tf.shape(reference)[1:3],
            align_corners=self.align_corners,
            half_pixel_centers=not self.align_corners,
        )

    def compute_output_shape(self, x_shape, reference_shape):
        return (x_shape[0], *reference_shape[1:3], x_shape[3])

    def compute_output_spec(self, x, reference):
        return keras.KerasTensor(self.compute_output_shape(x.shape, reference.shape), "float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "align_corners": self.align_corners}
