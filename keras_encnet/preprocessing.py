"""Normalization of raw images, as the published weights expect it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

# Mode: (whether to reverse RGB to BGR, mean, standard deviation) of raw pixels in 0 to 255.
# The first three have the names of `keras.applications.imagenet_utils.preprocess_input`.
MODES = {
    "torch": (False, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": (True, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "tf": (False, (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "cifar10": (False, (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)),
    "none": (False, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def preprocess_input(images: np.ndarray | tf.Tensor, mode: str = "torch") -> np.ndarray | tf.Tensor:
    """Normalizes raw RGB images for a network.

    The models of this package do this themselves, in their layer `ImageNormalization`, unless
    they are built with `include_preprocessing=False`.

    Example:

    >>> import numpy as np
    >>> preprocess_input(np.full((1, 1, 3), 255, "uint8"), mode="tf")
    array([[[1., 1., 1.]]], dtype=float32)

    Args:
        images: Array or tensor `(..., 3)` of RGB images, integers or floats in 0 to 255. It is
            not modified.
        mode: `"torch"` divides by 255, subtracts the mean of ImageNet and divides by its standard
            deviation. `"caffe"` converts to BGR and subtracts the mean, as the ResNets of Keras
            Applications expect. `"tf"` scales to -1 to 1. `"cifar10"` is `"torch"` with the mean
            and standard deviation of the published CIFAR networks. `"none"` only converts to
            float32, for backbones that normalize images themselves.

    Returns:
        float32 array or tensor of the shape of `images`.

    Raises:
        ValueError: If the mode is unknown or the last axis is not 3.
    """
    constants = normalization_of(mode)
    if images.shape[-1] != 3:
        raise ValueError(
            "`images` must have three channels (RGB) as the last axis; for others, use "
            "`keras_encnet.layers.ImageNormalization`. "
            f"Received: images.shape={tuple(images.shape)}"
        )
    return normalized(images, constants)


class Normalization(NamedTuple):
    """Constants of a normalization, whose channels are in the order of the network.

    Attributes:
        order: index of the channel of the image that becomes each channel.
        mean: what is subtracted, float64.
        std: what the difference is divided by, float64.
    """

    order: tuple[int, ...]
    mean: np.ndarray
    std: np.ndarray


def normalization_of(
    mode: str,
    channels: int = 3,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Normalization:
    """Returns the constants of a mode for images with any number of channels.

    The constants of a mode are repeated; one channel gets their mean. Each group of three channels
    is in the order that the mode has for RGB. With `mean` and `std`, images that have these become
    images with the mean and the standard deviation of those that the weights were trained on
    (ImageNet; CIFAR-10 for `"cifar10"`), which are then normalized as by the mode. For `"torch"`
    and `"cifar10"` the result is `(images - mean) / std`.

    Args:
        mode: see `preprocess_input`.
        channels: number of channels of the images.
        mean: mean of each channel of the raw images, by default that of the weights' images.
        std: standard deviation of each channel, by default that of the weights' images.

    Raises:
        ValueError: if the mode is unknown.
    """
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {sorted(MODES)}. Received: mode={mode!r}")
    order = _order(mode, channels)
    subtracted, divisor = (for_channels(values, channels) for values in MODES[mode][1:])
    if mean is None and std is None:
        return Normalization(order, subtracted, divisor)
    usual = statistics_of_training(mode, channels)
    given = (x if own is None else own for own, x in zip((mean, std), usual, strict=True))
    own_mean, own_std = (np.array(x, "float64")[list(order)] for x in given)
    usual_mean, usual_std = (x[list(order)] for x in usual)
    factor = own_std / usual_std
    return Normalization(order, own_mean - (usual_mean - subtracted) * factor, divisor * factor)


def statistics_of_training(mode: str, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation, per channel, of what a mode's weights were trained on.

    These are raw images of ImageNet, of CIFAR-10 for `"cifar10"`.
    """
    order, (reverse, *_) = list(_order(mode, channels)), MODES[mode]
    _, *constants = MODES["cifar10" if mode == "cifar10" else "torch"]
    mean, std = (
        for_channels(values[::-1] if reverse else values, channels)[order] for values in constants
    )
    return mean, std


def _order(mode, channels):
    """Returns which channels of the image a network takes: each group of three is RGB or BGR."""
    reversed_groups = channels // 3 * 3 if MODES[mode][0] else 0
    return tuple(i + 2 - 2 * (i % 3) if i < reversed_groups else i for i in range(channels))


def for_channels(values: Sequence[float], channels: int) -> np.ndarray:
    """Returns one number per channel, from three: repeated; for one channel, their mean.

    >>> for_channels((1, 2, 6), 4).tolist(), for_channels((1, 2, 6), 1).tolist()
    ([1.0, 2.0, 6.0, 1.0], [3.0])
    """
    array = np.array(values, "float64")
    return array.mean(keepdims=True) if channels == 1 else np.resize(array, channels)


def normalized(images: Any, constants: Normalization) -> Any:
    """Returns normalized images, a float32 array or tensor `(..., channels)`."""
    order, mean, std = constants
    is_tensor = keras.ops.is_tensor(images)
    if order != tuple(range(len(order))):
        # TensorFlow slices with a negative step on one core, at 6 ms for 512 x 512 pixels.
        images = tf.gather(images, order, axis=-1) if is_tensor else images[..., list(order)]
    images = keras.ops.cast(images, "float32") if is_tensor else np.asarray(images, "float32")
    return (images - mean.astype("float32")) / std.astype("float32")
