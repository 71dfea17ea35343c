"""Segmentation models: a backbone, a neck, a head, and an auxiliary head for training.

A backbone is a model from images to a dict of features, `stage1` to `stage4`. A head is a function
from these to a dict of output tensors: write it in a file of `models/heads/` and add it to `HEADS`.
A neck, in `models/necks.py`, is a function from these features to those that the head takes.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import keras

from keras_encnet.backbones import as_backbone, preprocessing_of
from keras_encnet.models.heads.deeplabv3 import deeplabv3_head
from keras_encnet.models.heads.encnet import context_auxiliary, encnet_head
from keras_encnet.models.heads.fcn import fcn_auxiliary, fcn_head
from keras_encnet.models.heads.psp import psp_head
from keras_encnet.models.necks import NECKS
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.models.structure import options_of, resolve
from keras_encnet.utils.checks import check_classes, check_stages
from keras_encnet.utils.sizes import Size

HEADS: dict[str, Callable] = {
    "encnet": encnet_head,
    "fcn": fcn_head,
    "psp": psp_head,
    "deeplabv3": deeplabv3_head,
}
AUXILIARY_HEADS: dict[str, Callable] = {"context": context_auxiliary, "fcn": fcn_auxiliary}


def on_backbone(
    head: str,
    backbone: keras.Model,
    classes: int,
    variant: str,
    *,
    name: str,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    working_size: Size = None,
    **options: Any,
) -> SegmentationModel:
    """Builds a head on a backbone.

    Args:
        head: a key of `HEADS`.
        backbone: see `EncNet`.
        classes: number of classes.
        variant: preset for the options.
        name: name of the model.
        preprocessing: see `EncNet`.
        include_preprocessing: see `EncNet`.
        mean: see `EncNet`.
        std: see `EncNet`.
        working_size: see `EncNet`.
        **options: structural options of the head.

    Returns:
        A `SegmentationModel`.
    """
    check_classes(classes)
    values = resolve((head,), variant, options)
    backbone = as_backbone(
        backbone,
        preprocessing=preprocessing,
        include_preprocessing=include_preprocessing,
        mean=mean,
        std=std,
    )
    return assemble(head, backbone, classes, values, name, working_size)


def on_resnet(
    head: str,
    build_resnet: Callable[..., keras.Model],
    classes: int,
    variant: str,
    *,
    name: str,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    backbone_weights: str | os.PathLike | None = None,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    working_size: Size = None,
    **options: Any,
) -> SegmentationModel:
    """Builds a ResNet and a head on it, both with the same variant and options.

    Args:
        head: a key of `HEADS`.
        build_resnet: a builder of `keras_encnet.backbones`.
        classes: number of classes.
        variant: preset for the options.
        name: name of the model.
        input_shape: `(height, width, channels)`; height and width may be None.
        backbone_weights: weights of the ResNet, see `backbones.ResNet`.
        preprocessing: see `EncNet`; by default what the weights of the ResNet expect.
        include_preprocessing: see `EncNet`.
        mean: see `EncNet`.
        std: see `EncNet`.
        working_size: see `EncNet`.
        **options: structural options of `"resnet"` and of the head.

    Returns:
        A `SegmentationModel`.
    """
    # All checks come first: building the backbone may download weights.
    check_classes(classes)
    values = resolve(("resnet", head), variant, options)
    preprocessing = preprocessing or preprocessing_of(values["stride_on"])
    backbone = build_resnet(
        input_shape=input_shape,
        weights=backbone_weights,
        preprocessing=preprocessing if include_preprocessing else None,
        mean=mean,
        std=std,
        **{option: values[option] for option in options_of("resnet")},
    )
    backbone = as_backbone(
        backbone, preprocessing=preprocessing, include_preprocessing=include_preprocessing
    )
    return assemble(head, backbone, classes, values, name, working_size)


def assemble(
    head: str,
    backbone: keras.Model,
    classes: int,
    values: Mapping[str, Any],
    name: str,
    working_size: Size = None,
) -> SegmentationModel:
    """Puts neck, head and auxiliary head on a backbone; `values` are those of `resolve`."""
    options = SimpleNamespace(**values)
    images, stages = backbone.input, backbone.output
    check_stages(stages)
    if options.neck != "none":
        stages = NECKS[options.neck](images, stages, options)
    tensors = HEADS[head](images, stages, classes, options)
    if options.auxiliary != "none":
        tensors |= AUXILIARY_HEADS[options.auxiliary](images, stages, classes, options)
    return SegmentationModel(
        images,
        tensors,
        name=name,
        backbone_layers=[layer.name for layer in backbone.layers],
        working_size=working_size,
    )
