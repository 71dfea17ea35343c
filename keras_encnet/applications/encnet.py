"""EncNet on dilated ResNet-50 and 101, with published weights."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_encnet import backbones
from keras_encnet.applications import pretrained
from keras_encnet.models.segmentation import on_resnet
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.models.structure import takes_options
from keras_encnet.utils.checks import check_classes, check_weights
from keras_encnet.utils.keras_files import load_weights


@takes_options("resnet", "encnet")
def EncNet50(
    classes: int | None = None,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    weights: str | os.PathLike | None = None,
    backbone_weights: str | os.PathLike | None = "imagenet",
    variant: str | None = None,
    outputs: str | Sequence[str] | None = None,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    name: str = "encnet50",
    **options: Any,
) -> SegmentationModel:
    """Builds EncNet on a dilated ResNet-50.

    Example:

    >>> model = EncNet50(classes=21, backbone_weights=None, outputs=("segmentation",))
    >>> model.output["segmentation"].shape
    (None, None, None, 21)

    Args:
        classes: number of classes, at least 2, without the ignored label; by
            default that of the published weights, otherwise 21. If published
            weights have another number, the layers with one row per class get
            random weights, and a warning names them.
        input_shape: `(height, width, channels)`; height and width may be None.
        weights: None; the name of published weights, such as
            `"ade20k_official"` (`keras_encnet.pretrained.available()` lists
            them; the first call downloads and converts, which requires torch);
            or the path of a `.weights.h5` file of the complete model.
        backbone_weights: `"imagenet"` (downloads those of Keras Applications,
            for `stem="plain"` and `stride_on="1x1"`), the path of a
            `.weights.h5` file saved by `keras.applications.ResNet50(
            include_top=False)`, or None. Unused if `weights` is given.
        variant: preset for the options, listed below; by default that of the
            published weights, otherwise `"keras_encnet"`.
        outputs: names of the outputs to keep, all by default.
        preprocessing: mode of `preprocess_input`; by default what the weights of
            the backbone expect: `"caffe"` for `stride_on="1x1"` (Keras
            Applications), `"torch"` for `"3x3"`.
        include_preprocessing: whether the model normalizes its images. False
            builds it on normalized images.
        name: name of the model.
        **options: structural options, listed below.

    Returns:
        A `SegmentationModel`, see `EncNet`.

    Raises:
        ValueError: for an invalid value, or one that contradicts published weights.
        TypeError: for an unknown option.
    """
    return _encnet(
        "EncNet50",
        backbones.ResNet50,
        classes=classes,
        input_shape=input_shape,
        weights=weights,
        backbone_weights=backbone_weights,
        variant=variant,
        outputs=outputs,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        name=name,
        **options,
    )


@takes_options("resnet", "encnet")
def EncNet101(
    classes: int | None = None,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    weights: str | os.PathLike | None = None,
    backbone_weights: str | os.PathLike | None = "imagenet",
    variant: str | None = None,
    outputs: str | Sequence[str] | None = None,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    name: str = "encnet101",
    **options: Any,
) -> SegmentationModel:
    """Builds EncNet on a dilated ResNet-101. Arguments, returned value and errors: `EncNet50`."""
    return _encnet(
        "EncNet101",
        backbones.ResNet101,
        classes=classes,
        input_shape=input_shape,
        weights=weights,
        backbone_weights=backbone_weights,
        variant=variant,
        outputs=outputs,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        name=name,
        **options,
    )


def _encnet(
    network: str,
    build_resnet: Callable[..., keras.Model],
    *,
    classes: int | None,
    weights: str | os.PathLike | None,
    backbone_weights: str | os.PathLike | None,
    variant: str | None,
    outputs: str | Sequence[str] | None,
    **arguments: Any,
) -> SegmentationModel:
    build = functools.partial(on_resnet, "encnet", build_resnet)
    published = pretrained.find(network, weights)
    if published is not None:
        if classes is not None:
            check_classes(classes)
        model = pretrained.build(published, build, classes=classes, variant=variant, **arguments)
    else:
        check_weights(weights, [entry.weights for entry in pretrained.available(network)])
        model = build(
            classes=21 if classes is None else classes,
            variant="keras_encnet" if variant is None else variant,
            backbone_weights=None if weights is not None else backbone_weights,
            **arguments,
        )
        if weights is not None:
            load_weights(model, weights)
    return model if outputs is None else model.with_outputs(outputs)
