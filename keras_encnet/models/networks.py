"""EncNet, FCN, PSPNet and DeepLabv3 on any backbone."""

import os
from collections.abc import Sequence
from typing import Any

import keras

from keras_encnet.graph.channels import load_weights
from keras_encnet.models.segmentation import on_backbone
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.models.signatures import takes_options
from keras_encnet.utils.sizes import Size


@takes_options("encnet")
def EncNet(
    backbone: keras.Model,
    classes: int = 21,
    weights: str | os.PathLike | None = None,
    variant: str = "keras_encnet",
    outputs: str | Sequence[str] | None = None,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    working_size: Size = None,
    name: str = "encnet",
    **options: Any,
) -> SegmentationModel:
    """Builds EncNet on any backbone.

    Example:

    >>> from keras_encnet.backbones import ResNet18
    >>> model = EncNet(ResNet18(), classes=21, channels=128)
    >>> sorted(model.output)
    ['presence', 'presence_stage3', 'segmentation']

    Args:
        backbone: a model from images to a dict of features, `stage1` to
            `stage4`, such as those of `keras_encnet.backbones`; a network of
            Keras Applications, or another one for classification; a backbone
            of keras-hub. See `backbones.as_backbone` for the conversion.
        classes: number of classes, at least 2, without the ignored label.
        weights: None, or the path of a `.weights.h5` file of the complete
            model with all the outputs of its variant, from `save_weights`;
            that of a model for RGB images fits any number of channels.
        variant: preset for the options, listed below.
        outputs: names of the outputs to keep, all by default. The model
            computes only what they need.
        preprocessing: mode of `preprocess_input` that the backbone expects;
            `"none"` if it normalizes raw images itself. By default that of a
            network with a name of Keras Applications, `"none"` if `Rescaling`
            or `Normalization` are in front, otherwise `"torch"`; required for
            other networks for classification.
        include_preprocessing: whether the model normalizes its images. False
            builds it on normalized images.
        mean: mean of the raw images, a number or one per channel, see
            `ImageNormalization`; by default that of the images that the
            backbone was trained on. With `mean` and `std`, images have the
            range of these instead of 0 to 255.
        std: standard deviation of the raw images, as `mean`.
        working_size: size at which the network sees images in `segment`,
            `predict` and `evaluate`, see `SegmentationModel`; by default their
            own.
        name: name of the model.
        **options: structural options, listed below.

    Returns:
        A `SegmentationModel` from images `(batch, height, width, channels)`,
        usually RGB, uint8 or float in 0 to 255, to a dict of float32 outputs:
        `segmentation`, logits `(batch, height, width, classes)`; `presence`, logits `(batch,
        classes)`; and that of the auxiliary head, `presence_stage3` or
        `segmentation_stage3`. The logits before upsampling are the output of
        the layer `segmentation_logits`. The layers of the backbone are shared
        unless it is converted. Unless it has its own `ImageNormalization`, as with
        `ResNet50(preprocessing="caffe")`, their attribute `output` belongs to
        the graph of the backbone, not to that of the model.

    Raises:
        ValueError: for an invalid value.
        TypeError: for an unknown option.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904), 3
    """
    return _build(
        "encnet",
        backbone,
        classes,
        variant,
        weights=weights,
        outputs=outputs,
        name=name,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        mean=mean,
        std=std,
        working_size=working_size,
        **options,
    )


@takes_options("fcn")
def FCN(
    backbone: keras.Model,
    classes: int = 21,
    weights: str | os.PathLike | None = None,
    variant: str = "keras_encnet",
    outputs: str | Sequence[str] | None = None,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    working_size: Size = None,
    name: str = "fcn",
    **options: Any,
) -> SegmentationModel:
    """Builds FCN, the baseline, on any backbone: convolutions and a classifier.

    Arguments, returned value and errors: `EncNet`. The outputs are `segmentation`
    and, with `auxiliary="fcn"`, `segmentation_stage3`.

    References:
        - [Fully Convolutional Networks](https://arxiv.org/abs/1411.4038)
    """
    return _build(
        "fcn",
        backbone,
        classes,
        variant,
        weights=weights,
        outputs=outputs,
        name=name,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        mean=mean,
        std=std,
        working_size=working_size,
        **options,
    )


@takes_options("psp")
def PSPNet(
    backbone: keras.Model,
    classes: int = 21,
    weights: str | os.PathLike | None = None,
    variant: str = "keras_encnet",
    outputs: str | Sequence[str] | None = None,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    working_size: Size = None,
    name: str = "pspnet",
    **options: Any,
) -> SegmentationModel:
    """Builds PSPNet, with averages over regions of several sizes, on any backbone.

    Arguments, returned value and errors: `EncNet`. The outputs are `segmentation`
    and, with `auxiliary="fcn"`, `segmentation_stage3`.

    In a training batch of one image, the average of the image has no variance: it
    is normalized by the moving statistics, which keep their values.

    Example:

    >>> from keras_encnet.backbones import ResNet18
    >>> PSPNet(ResNet18(), classes=21).output["segmentation"].shape
    (None, None, None, 21)

    References:
        - [Pyramid Scene Parsing Network](https://arxiv.org/abs/1612.01105)
    """
    return _build(
        "psp",
        backbone,
        classes,
        variant,
        weights=weights,
        outputs=outputs,
        name=name,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        mean=mean,
        std=std,
        working_size=working_size,
        **options,
    )


@takes_options("deeplabv3")
def DeepLabV3(
    backbone: keras.Model,
    classes: int = 21,
    weights: str | os.PathLike | None = None,
    variant: str = "keras_encnet",
    outputs: str | Sequence[str] | None = None,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    working_size: Size = None,
    name: str = "deeplabv3",
    **options: Any,
) -> SegmentationModel:
    """Builds DeepLabv3, with convolutions of several dilations, on any backbone.

    Arguments, returned value and errors: `EncNet`. The outputs are `segmentation`
    and, with `auxiliary="fcn"`, `segmentation_stage3`.

    In a training batch of one image, the average of the image has no variance: it
    is normalized by the moving statistics, which keep their values.

    References:
        - [Rethinking Atrous Convolution](https://arxiv.org/abs/1706.05587), 3.3
    """
    return _build(
        "deeplabv3",
        backbone,
        classes,
        variant,
        weights=weights,
        outputs=outputs,
        name=name,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        mean=mean,
        std=std,
        working_size=working_size,
        **options,
    )


def _build(head, backbone, classes, variant, *, weights, outputs, **arguments):
    model = on_backbone(head, backbone, classes, variant, **arguments)
    if weights is not None:
        load_weights(model, weights)
    return model if outputs is None else model.with_outputs(outputs)
