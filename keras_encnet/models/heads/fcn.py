"""The head of FCN, which also serves as an auxiliary head."""

from collections.abc import Mapping
from types import SimpleNamespace

import keras
from keras import layers

from keras_encnet.models.heads.blocks import classify, conv_norm_relu


def fcn_head(
    images: keras.KerasTensor,
    stages: Mapping[str, keras.KerasTensor],
    classes: int,
    options: SimpleNamespace,
) -> dict[str, keras.KerasTensor]:
    """One 3x3 convolution on stage 4, or three, and a classifier; returns `segmentation`."""
    name = "segmentation"
    features = stages["stage4"]
    x = _convolution(features, name)
    if options.concat_input:
        x = conv_norm_relu(x, x.shape[-1], 3, name=f"{name}_2")
        both = layers.Concatenate(name=f"{name}_concat")([features, x])
        x = conv_norm_relu(both, x.shape[-1], 3, name=f"{name}_3")
    return {name: classify(x, images, classes, options, name)}


def fcn_auxiliary(
    images: keras.KerasTensor,
    stages: Mapping[str, keras.KerasTensor],
    classes: int,
    options: SimpleNamespace,
) -> dict[str, keras.KerasTensor]:
    """A 3x3 convolution on stage 3 and a classifier; returns `segmentation_stage3`."""
    name = "segmentation_stage3"
    x = _convolution(stages["stage3"], name)
    return {name: classify(x, images, classes, options, name)}


def _convolution(x, name):
    return conv_norm_relu(x, max(1, x.shape[-1] // 4), 3, name=name)
