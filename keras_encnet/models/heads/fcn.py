"""The head of FCN, which also serves as an auxiliary head."""

from collections.abc import Mapping
from types import SimpleNamespace

import keras

from keras_encnet.models.heads.blocks import classify, conv_norm_relu


def fcn_head(
    images: keras.KerasTensor,
    stages: Mapping[str, keras.KerasTensor],
    classes: int,
    options: SimpleNamespace,
) -> dict[str, keras.KerasTensor]:
    """A 3x3 convolution and a classifier on stage 4; returns `segmentation`."""
    name = "segmentation"
    return {name: _classify_stage(stages["stage4"], images, classes, options, name)}


def fcn_auxiliary(
    images: keras.KerasTensor,
    stages: Mapping[str, keras.KerasTensor],
    classes: int,
    options: SimpleNamespace,
) -> dict[str, keras.KerasTensor]:
    """The same on stage 3; returns `segmentation_stage3`."""
    name = "segmentation_stage3"
    return {name: _classify_stage(stages["stage3"], images, classes, options, name)}


def _classify_stage(x, images, classes, options, name):
    x = conv_norm_relu(x, max(1, x.shape[-1] // 4), 3, name=name)
    return classify(x, images, classes, options, name)
