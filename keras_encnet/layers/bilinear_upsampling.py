"""Bilinear resizing to the size of another tensor."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_encnet")
class BilinearUpsampling(keras.layers.Layer):
    """Resizes `x` to the height and width of `reference`.

    Keras's own resizing layers want sizes that are known when the graph is
    made; here both may be unknown. The output is float32 under every policy:
    it holds logits.

    Example:

    >>> import numpy as np
    >>> logits, images = np.ones((1, 60, 60, 21)), np.ones((1, 480, 480, 3))
    >>> BilinearUpsampling()(logits, images).shape
    TensorShape([1, 480, 480, 21])

    Args:
        align_corners: if true, the centers of the corner pixels coincide (the
            released code); otherwise the outer edges do (half-pixel centers,
            mmsegmentation, `tf.image.resize`).

    Call arguments:
        x: `(batch, height, width, channels)`.
        reference: a tensor whose second and third axes are the wanted size.

    Output shape:
        `(batch, reference height, reference width, channels)`, float32.
    """

    def __init__(self, align_corners=False, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.align_corners = align_corners

    def build(self, x_shape, reference_shape):
        if len(x_shape) != 4 or len(reference_shape) != 4:
            raise ValueError(
                "Expected two tensors `(batch, height, width, channels)`. Received: "
                f"x.shape={tuple(x_shape)}, reference.shape={tuple(reference_shape)}"
            )

    def call(self, x, reference):
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

    def get_config(self):
        return {**super().get_config(), "align_corners": self.align_corners}
