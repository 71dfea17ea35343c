"""Normalization of raw images in front of a backbone."""

import keras

from keras_encnet.graph.rebuilding import calls
from keras_encnet.layers import ImageNormalization
from keras_encnet.layers.image_normalization import KERAS_NORMALIZATIONS, normalization_in
from keras_encnet.utils.compat import producer_of, run_graph


def with_normalization(backbone: keras.Model, mode: str) -> keras.Model:
    """Returns a backbone on raw images, which shares the layers of one on normalized images."""
    images = keras.Input(batch_shape=backbone.inputs[0].shape, name=backbone.inputs[0].name)
    # Layers of the network normalize images more exactly than bfloat16 could represent them.
    dtype = "float32" if mode == "none" else None
    normalized = ImageNormalization(mode, name="image_normalization", dtype=dtype)(images)
    return keras.Model(images, run_graph(backbone, normalized), name=backbone.name)


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
