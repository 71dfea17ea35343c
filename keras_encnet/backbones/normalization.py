"""Normalization of raw images in front of a backbone."""

from typing import Any

import keras

from keras_encnet.graph.rebuilding import calls
from keras_encnet.layers import ImageNormalization
from keras_encnet.layers.image_normalization import KERAS_NORMALIZATIONS, normalization_in
from keras_encnet.utils.compat import producer_of, run_graph


def with_normalization(
    backbone: keras.Model, mode: str, mean: Any = None, std: Any = None
) -> keras.Model:
    """Returns a backbone on raw images, which shares the layers of one on normalized images.

    Args:
        backbone: the backbone.
        mode: see `ImageNormalization`.
        mean: see `ImageNormalization`.
        std: see `ImageNormalization`.
    """
    images = keras.Input(batch_shape=backbone.inputs[0].shape, name=backbone.inputs[0].name)
    # Layers of the network normalize images more exactly than bfloat16 could represent them.
    dtype = "float32" if mode == "none" else None
    layer = ImageNormalization(mode, mean, std, name="image_normalization", dtype=dtype)
    normalized = layer(images)
    return keras.Model(images, run_graph(backbone, normalized), name=backbone.name)


def check_statistics(include_preprocessing: bool, mean: Any, std: Any) -> None:
    """Raises ValueError for a mean or standard deviation without normalization."""
    if not include_preprocessing and (mean is not None or std is not None):
        raise ValueError(
            "`mean` and `std` are those of raw images, which the model does not normalize with "
            "`include_preprocessing=False`: omit them, and normalize images before the model. "
            f"Received: mean={mean}, std={std}"
        )


def own_normalization(model: keras.Model) -> str | None:
    """Returns the mode of a functional model's normalization of raw images, if it has one.

    Returns:
        The mode of its `ImageNormalization`; `"none"` if layers of Keras normalize the images;
        otherwise None.
    """
    in_front = (
        node.operation
        for node in calls(model)
        if isinstance(producer_of(node.input_tensors[0]), keras.layers.InputLayer)
    )
    has_other = any(isinstance(layer, KERAS_NORMALIZATIONS) for layer in in_front)
    return normalization_in(model) or ("none" if has_other else None)
