"""Weights for RGB images in networks whose images have another number of channels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import keras
import numpy as np

from keras_encnet.graph.rebuilding import calls, copy_of, rebuild, weights_of
from keras_encnet.layers import ImageNormalization
from keras_encnet.layers.image_normalization import KERAS_NORMALIZATIONS
from keras_encnet.utils import keras_files

RGB = 3
NORMALIZATIONS = (ImageNormalization, *KERAS_NORMALIZATIONS)


def inflated(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Returns the kernel of a convolution of RGB images for images with `channels` channels.

    One channel gets the sum over the three, so that a gray image has the features of the RGB image
    with three equal channels. Otherwise, the channels are repeated, and scaled by `3 / channels`,
    so that an image whose channels repeat those of an RGB image has its features.

    >>> kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)
    >>> [inflated(kernel, channels).ravel().tolist() for channels in (1, 4)]
    [[9.0], [0.75, 1.5, 4.5, 0.75]]

    Args:
        kernel: `(height, width, 3, filters)`.
        channels: number of channels, at least 1.
    """
    if channels == RGB:
        return kernel
    if channels == 1:
        return kernel.sum(2, keepdims=True)
    repeated = kernel[:, :, np.arange(channels) % RGB]
    return (repeated * (RGB / channels)).astype(kernel.dtype)


def image_convolutions(model: keras.Model) -> set[str]:
    """Returns the names of the convolutions that take the images, normalized or padded at most."""
    images, names = {id(x) for x in model.inputs}, set()
    for node in calls(model):
        if not any(id(x) in images for x in node.input_tensors):
            continue
        layer = node.operation
        if isinstance(layer, keras.layers.Conv2D) and layer.groups == 1:
            names.add(layer.name)
        elif isinstance(layer, NORMALIZATIONS) or not getattr(layer, "weights", ()):
            images |= {id(x) for x in node.outputs}
    return names


def fitted(weights: Sequence[np.ndarray], shape: Sequence[int]) -> list[np.ndarray]:
    """Returns the weights of a convolution of images with a kernel of this shape.

    Args:
        weights: kernel, and optionally bias. Unchanged unless the kernel is one for RGB images
            that only differs in the number of channels.
        shape: `(height, width, channels, filters)`.
    """
    kernel, *others = weights
    if kernel.shape != (*shape[:2], RGB, *shape[3:]):
        return [*weights]
    return [inflated(kernel, shape[2]), *others]


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Loads weights into a model, also those of the same model for RGB images, see `inflated`.

    Arguments and errors: `keras_encnet.utils.keras_files.load_weights`.
    """
    if model.inputs[0].shape[-1] == RGB:
        keras_files.load_weights(model, path)
        return
    with warnings.catch_warnings():
        # Keras warns of attributes that only the saved model has, and that hold no weights.
        warnings.filterwarnings("ignore", "Skipping nested container")
        try:
            keras_files.load_weights(model, path)
        except ValueError:
            source = _for_rgb(model)
            if not _can_load(source, path):
                raise  # the first error
            _copy(source, model)


def _can_load(model, path):
    try:
        keras_files.load_weights(model, path)
    except ValueError:
        return False
    return True


def _copy(source, model):
    names = image_convolutions(model)
    for layer in model.layers:
        if layer.weights:
            weights = source.get_layer(layer.name).get_weights()
            is_first = layer.name in names
            layer.set_weights(fitted(weights, layer.kernel.shape) if is_first else weights)


def _for_rgb(model):
    """Returns the same layers for RGB images, with zeros in the first convolution."""
    images = keras.Input((*model.inputs[0].shape[1:-1], RGB), name=model.inputs[0].name)
    names = image_convolutions(model)

    def weights(layer):
        values = weights_of(layer)
        if layer.name in names:
            height, width, _, filters = values[0].shape
            values[0] = np.zeros((height, width, RGB, filters), "float32")
        return values

    return rebuild(model, _without_constants, weights, images=images)


def _without_constants(layer):
    """Returns a copy of a layer; one that normalizes images has no constants per channel."""
    if isinstance(layer, ImageNormalization):
        return copy_of(layer, mean=None, std=None)
    if isinstance(layer, keras.layers.Rescaling):
        return copy_of(layer, scale=1.0, offset=0.0)
    return copy_of(layer)
