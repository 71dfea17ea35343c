"""EncNet, FCN, PSPNet and DeepLabv3 on dilated ResNets, with published weights."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

from keras_encnet import backbones
from keras_encnet.applications import pretrained
from keras_encnet.graph.channels import load_weights
from keras_encnet.models.segmentation import on_resnet
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.models.signatures import takes_options
from keras_encnet.utils.checks import check_classes, check_weights
from keras_encnet.utils.sizes import Size

# The depths for which Keras Applications has weights.
IMAGENET = (50, 101)


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
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    working_size: Size = None,
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
            All weights fit any number of channels: the kernels for RGB are
            repeated and scaled by `3 / channels`; one channel gets their sum.
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
        mean: mean of the raw images, see `EncNet`.
        std: standard deviation of the raw images, see `EncNet`.
        working_size: size at which the network sees images in `segment`,
            `predict` and `evaluate`, see `SegmentationModel`; by default that
            of the protocol of the published weights, otherwise their own
            (`"native"`).
        name: name of the model.
        **options: structural options, listed below.

    Returns:
        A `SegmentationModel`, see `EncNet`.

    Raises:
        ValueError: for an invalid value, or one that contradicts published weights.
        TypeError: for an unknown option.
    """
    return _build(
        "EncNet50",
        "encnet",
        50,
        classes=classes,
        input_shape=input_shape,
        weights=weights,
        backbone_weights=backbone_weights,
        variant=variant,
        outputs=outputs,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        mean=mean,
        std=std,
        working_size=working_size,
        name=name,
        **options,
    )


def _build(
    network, head, depth, *, classes, weights, backbone_weights, variant, outputs, **options
):
    build = functools.partial(on_resnet, head, getattr(backbones, f"ResNet{depth}"))
    published = pretrained.find(network, weights)
    if published is not None:
        if classes is not None:
            check_classes(classes)
        model = pretrained.build(published, head, build, classes, variant=variant, **options)
    else:
        check_weights(weights, [entry.weights for entry in pretrained.available(network)])
        model = build(
            classes=21 if classes is None else classes,
            variant="keras_encnet" if variant is None else variant,
            backbone_weights=None if weights is not None else backbone_weights,
            **options,
        )
        if weights is not None:
            load_weights(model, weights)
    return model if outputs is None else model.with_outputs(outputs)


def _named(network: str, head: str, depth: int) -> Callable[..., SegmentationModel]:
    default_weights = "imagenet" if depth in IMAGENET else None

    def build(
        classes: int | None = None,
        input_shape: tuple[int | None, ...] = (None, None, 3),
        weights: str | os.PathLike | None = None,
        backbone_weights: str | os.PathLike | None = default_weights,
        variant: str | None = None,
        outputs: str | Sequence[str] | None = None,
        preprocessing: str | None = None,
        include_preprocessing: bool = True,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        working_size: Size = None,
        name: str = network.lower(),
        **options: Any,
    ) -> SegmentationModel:
        return _build(
            network,
            head,
            depth,
            classes=classes,
            input_shape=input_shape,
            weights=weights,
            backbone_weights=backbone_weights,
            variant=variant,
            outputs=outputs,
            preprocessing=preprocessing,
            include_preprocessing=include_preprocessing,
            mean=mean,
            std=std,
            working_size=working_size,
            name=name,
            **options,
        )

    build.__name__ = build.__qualname__ = network
    build.__doc__ = (
        f"Builds {network.removesuffix(str(depth)).strip('_')} on a dilated ResNet-{depth}. "
        "Arguments, returned value and errors: `EncNet50`."
    )
    return takes_options("resnet", head)(build)


EncNet101 = _named("EncNet101", "encnet", 101)
FCN18 = _named("FCN18", "fcn", 18)
FCN50 = _named("FCN50", "fcn", 50)
FCN101 = _named("FCN101", "fcn", 101)
PSPNet18 = _named("PSPNet18", "psp", 18)
PSPNet50 = _named("PSPNet50", "psp", 50)
PSPNet101 = _named("PSPNet101", "psp", 101)
DeepLabV3_18 = _named("DeepLabV3_18", "deeplabv3", 18)
DeepLabV3_50 = _named("DeepLabV3_50", "deeplabv3", 50)
DeepLabV3_101 = _named("DeepLabV3_101", "deeplabv3", 101)
