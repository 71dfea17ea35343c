"""The head of PSPNet, a pyramid of averages over regions."""

from collections.abc import Mapping
from types import SimpleNamespace

import keras
from keras import layers

from keras_encnet.layers import AdaptiveAveragePooling, BilinearUpsampling
from keras_encnet.models.heads.blocks import classify, conv_norm_relu

# The regions along each axis, per level of the pyramid.
BINS = (1, 2, 3, 6)


def psp_head(
    images: keras.KerasTensor,
    stages: Mapping[str, keras.KerasTensor],
    classes: int,
    options: SimpleNamespace,
) -> dict[str, keras.KerasTensor]:
    """Features next to their averages over 1, 4, 9 and 36 regions; returns `segmentation`."""
    x = stages["stage4"]
    channels = max(1, x.shape[-1] // 4)
    pyramid = [_averages(x, bins, channels, options.align_corners) for bins in BINS]
    x = layers.Concatenate(name="pyramid_concat")([x, *pyramid])
    x = conv_norm_relu(x, channels, 3, name="head")
    return {"segmentation": classify(x, images, classes, options, name="segmentation")}


def _averages(x, bins, channels, align_corners):
    name = f"pyramid_{bins}"
    averages = AdaptiveAveragePooling(bins, name=f"{name}_pool")(x)
    averages = conv_norm_relu(averages, channels, 1, name=name)
    return BilinearUpsampling(align_corners, name=f"{name}_upsampling")(averages, x)
