"""Normalization of raw images, as the first layer of a model."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_encnet.preprocessing import normalization_of, preprocess_input

# The layers of Keras that networks normalize raw images with.
KERAS_NORMALIZATIONS = (keras.layers.Rescaling, keras.layers.Normalization)


@keras.saving.register_keras_serializable(package="keras_encnet")
class ImageNormalization(keras.layers.Layer):
    """Normalizes raw RGB images, with the arithmetic of `keras_encnet.preprocess_input`.

    The arithmetic is float32 under every dtype policy, since bfloat16 cannot represent all
    integers up to 255; only the result is cast to the compute dtype.

    Example:

    >>> import numpy as np
    >>> ImageNormalization("tf")(np.full((1, 1, 1, 3), 255, "uint8")).numpy()
    array([[[[1., 1., 1.]]]], dtype=float32)

    Args:
        mode: String, mode of `keras_encnet.preprocess_input`: `"torch"`, `"caffe"`, `"tf"`,
            `"cifar10"` or `"none"`.

    Call arguments:
        images: Tensor `(batch, height, width, 3)` of RGB images, integers or floats in 0 to 255.

    Output shape:
        Same as the input, in the compute dtype of the layer.

    Raises:
        ValueError: If the mode is unknown or images do not have three channels.
    """

    def __init__(self, mode: str = "torch", **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        normalization_of(mode)  # raises if the mode is unknown
        self.mode = mode

    def build(self, input_shape):
        if input_shape[-1] != 3:
            raise ValueError(
                "Only images with three channels (RGB) can be normalized. Build the model with "
                "`include_preprocessing=False` and normalize other images before the model. "
                f"Received: input_shape={tuple(input_shape)}"
            )

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(preprocess_input(images, self.mode), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, images):
        return keras.KerasTensor(images.shape, self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "mode": self.mode}


def normalization_in(model: keras.Model) -> str | None:
    """Returns the mode of the `ImageNormalization` of a model, or None if it has none."""
    modes = [layer.mode for layer in model.layers if isinstance(layer, ImageNormalization)]
    return modes[0] if modes else None
