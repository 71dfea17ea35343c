"""Backbones from other models: networks for classification, keras-hub, models with four layers."""

import re
from collections.abc import Sequence

import keras

from keras_encnet.backbones.conversion import convert, is_classifier, with_stages
from keras_encnet.backbones.keras_applications import NETWORKS, preprocessing_of_network
from keras_encnet.backbones.normalization import (
    check_statistics,
    own_normalization,
    with_normalization,
)
from keras_encnet.layers.image_normalization import normalization_in
from keras_encnet.utils.checks import KINDS_OF_BACKBONES, check_backbone
from keras_encnet.utils.compat import is_functional


def as_backbone(
    model: keras.Model,
    layers: Sequence[str] | None = None,
    preprocessing: str | None = None,
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
) -> keras.Model:
    """Returns a model from raw images to the features of its four stages.

    `keras_encnet.EncNet` and the other builders call it. The result shares the layers of a model
    that has nothing to convert. Of others, layers and weights are copied:

    - `keras.layers.BatchNormalization` becomes `keras_encnet.layers.BatchNormalization`, which is
      fused and synchronized over replicas, and a convolution with one group per channel a
      `DepthwiseConv2D`. Weights and names stay.
    - In networks for classification, "valid" convolutions and pooling become "same". For
      images whose size is a multiple of 32, this changes features near the border in Inception,
      Xception and NASNet only; for any size, stage sizes become that of the image divided by the
      stride, rounded up.

    Example:

    >>> x = images = keras.Input((None, None, 3))
    >>> for i, width in enumerate((8, 16, 32, 64)):
    ...     x = keras.layers.Conv2D(width, 3, 2, padding="same", name=f"conv{i}")(x)
    >>> backbone = as_backbone(
    ...     keras.Model(images, x), layers=("conv0", "conv1", "conv2", "conv3")
    ... )
    >>> {stage: features.shape[-1] for stage, features in backbone.output.items()}
    {'stage1': 8, 'stage2': 16, 'stage3': 32, 'stage4': 64}

    Args:
        model: one of these, in this order: a model from images to a dict with the keys `stage1` to
            `stage4`; a backbone of keras-hub with `pyramid_outputs`; a functional model with
            layers of these names; a functional model for classification, such as those of
            Keras Applications, whose stages are found by `find_stages`.
        layers: names of the four layers of a functional model whose outputs are the stages.
        preprocessing: mode of `preprocess_input` that the model expects; `"none"` if it normalizes
            raw images itself. By default `"none"` if a `Rescaling` or `Normalization` is in
            front; that of the network of Keras Applications with its name, if the model does not
            name its stages; otherwise `"torch"`.
        include_preprocessing: whether the result normalizes raw images.
        mean: mean of the raw images, see `ImageNormalization`.
        std: standard deviation of the raw images, see `ImageNormalization`.

    Returns:
        A `keras.Model` to a dict of features, `stage1` to `stage4`, each `(batch, height, width,
        channels)`.

    Raises:
        ValueError: if `model` is none of these, if it is a network for classification of an
            unknown name and `preprocessing` is None, or if it normalizes images in contradiction to
            the arguments.
    """
    check_backbone(model)
    if not is_functional(model):
        raise ValueError(
            f"`backbone` must be a functional model: {KINDS_OF_BACKBONES}. Received: "
            f"backbone={model.name!r} of class {type(model).__name__}"
        )
    check_statistics(include_preprocessing, mean, std)
    own = own_normalization(model)
    if own is not None and (not include_preprocessing or preprocessing not in (None, own)):
        raise ValueError(
            "The backbone normalizes raw images itself, which `preprocessing` and "
            f"`include_preprocessing` must not contradict. Received: backbone={model.name!r} "
            f"with the mode {own!r}, preprocessing={preprocessing!r}, "
            f"include_preprocessing={include_preprocessing}"
        )
    _check_repeated(model, mean, std)
    backbone = convert(with_stages(model, layers), layers is None and is_classifier(model))
    if normalization_in(backbone) is not None or not include_preprocessing:
        return backbone
    return with_normalization(backbone, preprocessing or own or _expected(model, layers), mean, std)


def _check_repeated(model, mean, std):
    """Raises ValueError if statistics are given to a backbone whose layer has its own."""
    if normalization_in(model) is not None and (mean is not None or std is not None):
        raise ValueError(
            "The backbone has an `ImageNormalization`: pass `mean` and `std` where it is built. "
            f"Received: backbone={model.name!r}, mean={mean}, std={std}"
        )


def _expected(model, layers):
    """Returns the mode of `preprocess_input` that a model without normalization expects."""
    if not is_classifier(model):
        return "torch"
    plain = re.sub(r"[^a-z0-9]", "", model.name.lower())
    # MobileNet's name ends in its width and image size.
    name = next((name for name in NETWORKS if re.fullmatch(rf"{name}\d*", plain)), None)
    if name is not None:
        return preprocessing_of_network(name)
    if layers is None:
        raise ValueError(
            "`preprocessing` must be given for a network for classification of an unknown name: "
            "the mode of `keras_encnet.preprocess_input` that its weights expect. Received: "
            f"backbone={model.name!r}, preprocessing=None"
        )
    return "torch"
