"""EncNet on the ResNets that it was published with."""

import functools

from keras_encnet import backbones
from keras_encnet.applications import pretrained
from keras_encnet.models.heads.encnet import EncNet
from keras_encnet.models.structure import ALLOWED, variant_parts
from keras_encnet.utils.checks import check_classes, check_options, check_weights


def EncNet50(
    classes=None,
    input_shape=(None, None, 3),
    weights=None,
    backbone_weights="imagenet",
    variant=None,
    num_codewords=32,
    name="encnet50",
    **options,
):
    """Builds EncNet on a dilated ResNet-50.

    Example:

    >>> model = EncNet50(classes=21, backbone_weights=None, outputs=("segmentation",))
    >>> model.output["segmentation"].shape
    (None, None, None, 21)

    Args:
        classes: number of classes, at least 2; void isn't one. 21 by default,
            or as many as published weights have. With these and another
            number, the layers that have a row per class start at random, and a
            warning names them.
        input_shape: `(height, width, channels)`; height and width may be None.
        weights: None; the name of published weights, such as
            `"ade20k_official"` (`keras_encnet.pretrained.available()` lists
            them; the first call downloads and converts, and needs torch); or
            the path of a `.weights.h5` file of the whole model.
        backbone_weights: `"imagenet"` (downloads those of Keras Applications;
            they fit `stem="plain"`, `stride_on="1x1"`), the path of a
            `.weights.h5` file that `keras.applications.ResNet50(
            include_top=False)` saved, or None. Unused when `weights` is given.
        variant: `"keras_encnet"`, `"paper"`, `"official"` or
            `"mmsegmentation"`, see `EncNet`; the first by default, or that of
            published weights.
        num_codewords: codewords of each Encoding layer, 0 for the ablation.
        name: name of the model.
        **options: of the backbone `output_stride` (8, 16, 32), `stem` and
            `stride_on` (see `backbones.ResNet`); of `EncNet` `channels`,
            `aggregation`, `codeword_pooling`, `gating`, `gate_bias`, `auxiliary`, `lateral`,
            `align_corners`, `dropout`, `outputs` and `preprocessing`. The last defaults to what
            the backbone's weights want: `"caffe"` for `stride_on="1x1"` (Keras
            Applications), `"torch"` for `"3x3"`.

    Returns:
        A `SegmentationModel`, see `EncNet`.

    Raises:
        ValueError: for an argument outside the above.
    """
    return _on_resnet(
        backbones.ResNet50,
        classes,
        input_shape,
        weights,
        backbone_weights,
        variant,
        num_codewords,
        name=name,
        **options,
    )


def EncNet101(
    classes=None,
    input_shape=(None, None, 3),
    weights=None,
    backbone_weights="imagenet",
    variant=None,
    num_codewords=32,
    name="encnet101",
    **options,
):
    """Builds EncNet on a dilated ResNet-101. Arguments, returns, errors: `EncNet50`."""
    return _on_resnet(
        backbones.ResNet101,
        classes,
        input_shape,
        weights,
        backbone_weights,
        variant,
        num_codewords,
        name=name,
        **options,
    )


def _on_resnet(
    build_backbone,
    /,
    classes,
    input_shape,
    weights,
    backbone_weights,
    variant,
    num_codewords,
    outputs=None,
    **options,
):
    network = build_backbone.__name__.replace("ResNet", "EncNet")
    published = pretrained.find(network, weights)
    check_options((EncNet, _untrained), options, own=("backbone", "build_backbone"))
    if published is not None:
        if classes is not None:
            check_classes(classes)
        model = pretrained.build(
            published,
            functools.partial(_untrained, build_backbone, backbone_weights=None),
            classes=classes,
            input_shape=input_shape,
            variant=variant,
            num_codewords=num_codewords,
            **options,
        )
    else:
        check_weights(weights, [entry.weights for entry in pretrained.available(network)])
        model = _untrained(
            build_backbone,
            backbone_weights=None if weights is not None else backbone_weights,
            classes=21 if classes is None else classes,
            input_shape=input_shape,
            variant=variant or "keras_encnet",
            num_codewords=num_codewords,
            **options,
        )
        if weights is not None:
            model.load_weights(weights)
    return model if outputs is None else model.with_outputs(outputs)


def _untrained(
    build_backbone,
    backbone_weights,
    classes,
    input_shape,
    variant,
    output_stride=8,
    stem=None,
    stride_on=None,
    preprocessing=None,
    **options,
):
    # Before anything is downloaded.
    check_classes(classes)
    chosen = {part: options[part] for part in ALLOWED if part in options}
    parts = variant_parts(variant, stem=stem, stride_on=stride_on, **chosen)
    backbone = build_backbone(
        input_shape=input_shape,
        output_stride=output_stride,
        stem=parts["stem"],
        stride_on=parts["stride_on"],
        weights=backbone_weights,
    )
    return EncNet(
        backbone,
        classes,
        variant=variant,
        preprocessing=preprocessing or backbones.preprocessing_of(parts["stride_on"]),
        **options,
    )
