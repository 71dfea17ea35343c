"""FCN: the baseline that the paper measures EncNet against."""

from keras_encnet import backbones
from keras_encnet.models.heads.blocks import fcn_head
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.utils.checks import check_classes, check_options, check_stages, check_weights


def FCN(
    backbone,
    classes=21,
    weights=None,
    auxiliary="none",
    align_corners=False,
    dropout=0.1,
    preprocessing="torch",
    name="fcn",
):
    """Builds FCN on any backbone: a 3x3 convolution, a 1x1 classifier, upsampling.

    Args:
        backbone: a model from images to a dict of features, `stage1` to
            `stage4`, such as those of `keras_encnet.backbones`.
        classes: number of classes, at least 2; void isn't one.
        weights: None, or the path of a `.weights.h5` file of the whole model.
        auxiliary: `"fcn"` for a second such head on stage 3 (output
            `segmentation_stage3`), or `"none"`.
        align_corners: how logits are upsampled, see `BilinearUpsampling`.
        dropout: rate before each classifier.
        preprocessing: mode of `preprocess_input` that the backbone expects.
        name: name of the model.

    Returns:
        A `SegmentationModel` to a dict of float32 outputs: `segmentation`,
        logits `(batch, height, width, classes)`, and the auxiliary's.

    Raises:
        ValueError: for an argument outside the above.
    """
    check_classes(classes)
    check_stages(backbone)
    _check_auxiliary(auxiliary)
    images, stages = backbone.input, backbone.output

    def head(features, name):
        return fcn_head(features, classes, images, dropout, False, align_corners, name=name)

    tensors = {"segmentation": head(stages["stage4"], "segmentation")}
    if auxiliary == "fcn":
        tensors["segmentation_stage3"] = head(stages["stage3"], "segmentation_stage3")
    model = SegmentationModel(
        images,
        tensors,
        name=name,
        preprocessing=preprocessing,
        backbone_layers=[layer.name for layer in backbone.layers],
    )
    if weights is not None:
        model.load_weights(weights)
    return model


def FCN50(
    classes=21,
    input_shape=(None, None, 3),
    weights=None,
    backbone_weights="imagenet",
    name="fcn50",
    **options,
):
    """Builds FCN on a dilated ResNet-50.

    Args:
        classes: number of classes, at least 2; void isn't one.
        input_shape: `(height, width, channels)`; height and width may be None.
        weights: None, or the path of a `.weights.h5` file of the whole model.
        backbone_weights: as of `EncNet50`.
        name: name of the model.
        **options: of the backbone `output_stride`, `stem` and `stride_on` (see
            `backbones.ResNet`); of `FCN` `auxiliary`, `align_corners`,
            `dropout` and `preprocessing`.

    Returns, Raises: see `FCN`.
    """
    return _on_resnet(
        backbones.ResNet50, classes, input_shape, weights, backbone_weights, name=name, **options
    )


def FCN101(
    classes=21,
    input_shape=(None, None, 3),
    weights=None,
    backbone_weights="imagenet",
    name="fcn101",
    **options,
):
    """Builds FCN on a dilated ResNet-101. Arguments, returns, errors: `FCN50`."""
    return _on_resnet(
        backbones.ResNet101, classes, input_shape, weights, backbone_weights, name=name, **options
    )


def _on_resnet(
    build_backbone,
    /,
    classes,
    input_shape,
    weights,
    backbone_weights,
    output_stride=8,
    stem="plain",
    stride_on="1x1",
    preprocessing=None,
    **options,
):
    # Before anything is downloaded.
    check_classes(classes)
    _check_auxiliary(options.get("auxiliary", "none"))
    check_options((FCN, _on_resnet), options, own=("backbone", "build_backbone"))
    check_weights(weights)
    backbone = build_backbone(
        input_shape=input_shape,
        output_stride=output_stride,
        stem=stem,
        stride_on=stride_on,
        weights=None if weights is not None else backbone_weights,
    )
    preprocessing = preprocessing or backbones.preprocessing_of(stride_on)
    return FCN(backbone, classes, weights=weights, preprocessing=preprocessing, **options)


def _check_auxiliary(auxiliary):
    if auxiliary not in ("fcn", "none"):
        raise ValueError(f"`auxiliary` must be 'fcn' or 'none'. Received: auxiliary={auxiliary!r}")
