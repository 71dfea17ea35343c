"""Normalization of raw images, as the published weights expect it."""

from __future__ import annotations

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
    reverse, mean, std = normalization_of(mode)
    if images.shape[-1] != 3:
        raise ValueError(
            "`images` must have three channels (RGB) as the last axis. "
            f"Received: images.shape={tuple(images.shape)}"
        )
    is_tensor = keras.ops.is_tensor(images)
    if reverse:
        # TensorFlow slices with a negative step on one core, at 6 ms for 512 x 512 pixels.
        images = tf.gather(images, (2, 1, 0), axis=-1) if is_tensor else images[..., ::-1]
    means, deviations = np.array(mean, "float32"), np.array(std, "float32")
    images = keras.ops.cast(images, "float32") if is_tensor else np.asarray(images, "float32")
    return (images - means) / deviations


def normalization_of(mode: str) -> tuple[bool, tuple, tuple]:
    """Returns whether a mode reverses the channels, its mean and its standard deviation."""
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {sorted(MODES)}. Received: mode={mode!r}")
    return MODES[mode]
