"""The head of DeepLabv3, atrous spatial pyramid pooling (ASPP)."""

from collections.abc import Mapping
from types import SimpleNamespace

import keras
from keras import layers

from keras_encnet.layers import BilinearUpsampling
from keras_encnet.models.heads.blocks import classify, conv_norm_relu
from keras_encnet.utils.numerics import at_least_float32


def deeplabv3_head(
    images: keras.KerasTensor,
    stages: Mapping[str, keras.KerasTensor],
    classes: int,
    options: SimpleNamespace,
) -> dict[str, keras.KerasTensor]:
    """Convolutions of four dilations next to the image's average; returns `segmentation`."""
    x = stages["stage4"]
    projected = options.aspp == "projected"
    channels = max(1, x.shape[-1] // (8 if projected else 4))
    branches = [conv_norm_relu(x, channels, 1, name="aspp_0")]
    branches += [
        conv_norm_relu(x, channels, 3, name=f"aspp_{i}", dilation=i * options.aspp_dilation)
        for i in (1, 2, 3)
    ]
    average = _image_average(x, channels, options.align_corners)
    branches = [*branches, average] if projected else [average, *branches]
    x = layers.Concatenate(name="aspp_concat")(branches)
    if projected:
        x = conv_norm_relu(x, channels, 1, name="aspp_projection")
        if options.dropout:
            x = layers.SpatialDropout2D(0.5, name="aspp_dropout")(x)
    x = conv_norm_relu(x, channels, 3, name="head")
    return {"segmentation": classify(x, images, classes, options, name="segmentation")}


def _image_average(x, channels, align_corners):
    pool = layers.GlobalAveragePooling2D(
        keepdims=True, dtype=at_least_float32(), name="aspp_image_pool"
    )
    average = conv_norm_relu(pool(x), channels, 1, name="aspp_image")
    return BilinearUpsampling(align_corners, name="aspp_image_upsampling")(average, x)
