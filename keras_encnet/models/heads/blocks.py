"""Building blocks that several heads share."""

from types import SimpleNamespace
from typing import Any

import keras
from keras import layers

from keras_encnet.layers import BatchNormalization, BilinearUpsampling, DilatedConv2D
from keras_encnet.utils.numerics import at_least_float32


def conv_norm_relu(
    x: keras.KerasTensor,
    channels: int,
    kernel_size: int,
    name: str,
    dtype: Any = None,
    dilation: int = 1,
) -> keras.KerasTensor:
    """A convolution of stride 1 without bias, batch normalization, ReLU."""
    convolution = layers.Conv2D if dilation == 1 else DilatedConv2D
    x = convolution(
        channels,
        kernel_size,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        dtype=dtype,
        name=f"{name}_conv",
    )(x)
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_bn")(x)
    return layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)


def classify(
    x: keras.KerasTensor,
    images: keras.KerasTensor,
    classes: int,
    options: SimpleNamespace,
    name: str,
) -> keras.KerasTensor:
    """Dropout, a 1x1 convolution to logits, and upsampling to the size of `images`.

    Args:
        x: features, `(batch, height, width, channels)`.
        images: `(batch, image_height, image_width, channels)`.
        classes: number of classes.
        options: `dropout`, `spatial_dropout` and `align_corners`, see `models.structure`.
        name: name of the output.

    Returns:
        float32 logits, `(batch, image_height, image_width, classes)`.
    """
    if options.dropout:
        dropout = layers.SpatialDropout2D if options.spatial_dropout else layers.Dropout
        x = dropout(options.dropout, name=f"{name}_dropout")(x)
    logits = layers.Conv2D(classes, 1, dtype=at_least_float32(), name=f"{name}_logits")(x)
    return BilinearUpsampling(options.align_corners, name=name)(logits, images)
