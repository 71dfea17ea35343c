"""FCN, the baseline of EncNet, on dilated ResNet-50 and 101."""

import os
from collections.abc import Callable
from typing import Any

import keras

from keras_encnet import backbones
from keras_encnet.models.segmentation import on_resnet
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.models.structure import takes_options
from keras_encnet.utils.checks import check_weights
from keras_encnet.utils.keras_files import load_weights


@takes_options("resnet", "fcn")
def FCN50(
    classes: int = 21,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    weights: str | os.PathLike | None = None,
    backbone_weights: str | os.PathLike | None = "imagenet",
    variant: str = "keras_encnet",
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    name: str = "fcn50",
    **options: Any,
) -> SegmentationModel:
    """Builds FCN on a dilated ResNet-50.

    Args:
        classes: number of classes, at least 2, without the ignored label.
        input_shape: `(height, width, channels)`; height and width may be None.
        weights: None, or the path of a `.weights.h5` file of the complete model.
        backbone_weights: see `EncNet50`.
        variant: preset for the options, listed below.
        preprocessing: see `EncNet50`.
        include_preprocessing: see `EncNet50`.
        name: name of the model.
        **options: structural options, listed below.

    Returns:
        A `SegmentationModel`, see `FCN`.

    Raises:
        ValueError: for an invalid value.
        TypeError: for an unknown option.
    """
    return _fcn(
        backbones.ResNet50,
        weights,
        backbone_weights,
        classes=classes,
        input_shape=input_shape,
        variant=variant,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        name=name,
        **options,
    )


@takes_options("resnet", "fcn")
def FCN101(
    classes: int = 21,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    weights: str | os.PathLike | None = None,
    backbone_weights: str | os.PathLike | None = "imagenet",
    variant: str = "keras_encnet",
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    name: str = "fcn101",
    **options: Any,
) -> SegmentationModel:
    """Builds FCN on a dilated ResNet-101. Arguments, returned value and errors: `FCN50`."""
    return _fcn(
        backbones.ResNet101,
        weights,
        backbone_weights,
        classes=classes,
        input_shape=input_shape,
        variant=variant,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        name=name,
        **options,
    )


def _fcn(
    build_resnet: Callable[..., keras.Model],
    weights: str | os.PathLike | None,
    backbone_weights: str | os.PathLike | None,
    **arguments: Any,
) -> SegmentationModel:
    check_weights(weights)
    model = on_resnet(
        "fcn",
        build_resnet,
        backbone_weights=None if weights is not None else backbone_weights,
        **arguments,
    )
    if weights is not None:
        load_weights(model, weights)
    return model
