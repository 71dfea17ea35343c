"""Normalization of raw images, as the first layer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.preprocessing import normalization_of, normalized, statistics_of_training

# The layers of Keras that networks normalize raw images with.
KERAS_NORMALIZATIONS = (keras.layers.Rescaling, keras.layers.Normalization)


@keras.saving.register_keras_serializable(package="keras_encnet")
class ImageNormalization(keras.layers.Layer):
    """Normalizes raw images, RGB with the arithmetic of `keras_encnet.preprocess_input`.

    For another number of channels, the constants of a mode are repeated; one channel gets their
    mean. With `mean` and `std`, those of the data, images are brought to the mean and the standard
    deviation of the images that the weights of the mode were trained on (ImageNet; CIFAR-10 for
    `"cifar10"`), and then normalized as by the mode. For `"torch"` and `"cifar10"` the result is
    `(images - mean) / std`.

    The arithmetic is float32 under every dtype policy, since bfloat16 cannot represent all
    integers up to 255; only the result is cast to the compute dtype.

    Example:

    >>> import numpy as np
    >>> ImageNormalization("tf")(np.full((1, 1, 1, 3), 255, "uint8")).numpy()
    array([[[[1., 1., 1.]]]], dtype=float32)
    >>> infrared = ImageNormalization(mean=(90, 80, 70, 110), std=50)
    >>> infrared(np.full((1, 1, 1, 4), 100, "uint8")).numpy()
    array([[[[ 0.2,  0.4,  0.6, -0.2]]]], dtype=float32)

    Args:
        mode: String, mode of `keras_encnet.preprocess_input`: `"torch"`, `"caffe"`, `"tf"`,
            `"cifar10"` or `"none"`.
        mean: Mean of the raw images: a number, or one per channel; None for that of the images
            that the weights were trained on.
        std: Standard deviation of the raw images, positive: a number, one per channel, or None.

    Call arguments:
        images: Tensor `(batch, height, width, channels)`, integers or floats: in 0 to 255 without
            `mean` and `std`, otherwise in the range of these.

    Output shape:
        Same as the input, in the compute dtype of the layer.

    Raises:
        ValueError: If the mode is unknown, or if `mean` and `std` are not such numbers or not as
            many as images have channels.
    """

    def __init__(
        self,
        mode: str = "torch",
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        normalization_of(mode)  # raises if the mode is unknown
        self.mode = mode
        self.mean = _checked("mean", mean)
        self.std = _checked("std", std)
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"`std` must be positive. Received: std={std!r}")

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                "The number of channels must be known, as in `input_shape=(None, None, 3)`. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.constants = normalization_of(
            self.mode,
            channels,
            _per_channel("mean", self.mean, channels),
            _per_channel("std", self.std, channels),
        )

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation of the raw images, one number per channel."""
        channels = len(self.constants.mean)
        usual = statistics_of_training(self.mode, channels)
        mean, std = (
            x if own is None else np.array(_per_channel("", own, channels))
            for own, x in zip((self.mean, self.std), usual, strict=True)
        )
        return mean, std

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(normalized(images, self.constants), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, images):
        return keras.KerasTensor(images.shape, self.compute_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "mode": self.mode, "mean": self.mean, "std": self.std}


def _checked(name, values):
    """Returns numbers as a tuple, or None."""
    if values is None:
        return None
    array = np.asarray(values)
    is_numeric = array.dtype.kind in "iuf" and array.ndim <= 1 and array.size > 0
    if not is_numeric or not np.isfinite(array).all():
        raise ValueError(
            f"`{name}` must be a finite number, or one per channel of the images. "
            f"Received: {name}={values!r}"
        )
    return tuple(np.ravel(array).astype("float64").tolist())


def _per_channel(name, values, channels):
    if values is None or len(values) == channels:
        return values
    if len(values) > 1:
        raise ValueError(
            f"`{name}` must have one number per channel, {channels} for these images. "
            f"Received: {name}={values}"
        )
    return values * channels


def normalization_layer(model: keras.Model) -> ImageNormalization | None:
    """Returns the `ImageNormalization` of a model, or None if it has none."""
    return next((x for x in model.layers if isinstance(x, ImageNormalization)), None)


def normalization_in(model: keras.Model) -> str | None:
    """Returns the mode of the `ImageNormalization` of a model, or None if it has none."""
    layer = normalization_layer(model)
    return None if layer is None else layer.mode
