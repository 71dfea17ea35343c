"""Normalization of raw images, as the published weights expect it."""

import keras
import numpy as np

# mode: (reverse RGB to BGR, mean, standard deviation), in units of raw pixels, 0 to 255.
# The first three are named as in `keras.applications.imagenet_utils.preprocess_input`.
MODES = {
    "torch": (False, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": (True, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "tf": (False, (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "cifar10": (False, (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)),
}


def preprocess_input(images, mode="torch"):
    """Normalizes raw RGB images for a network.

    Example:

    >>> import numpy as np
    >>> preprocess_input(np.full((1, 1, 3), 255, "uint8"), mode="tf")
    array([[[1., 1., 1.]]], dtype=float32)

    Args:
        images: array or tensor of shape `(..., 3)`, RGB, integers or floats in
            0 to 255. It is not changed.
        mode: `"torch"` (divide by 255, subtract the ImageNet mean, divide by
            its standard deviation), `"caffe"` (to BGR, subtract the mean; what
            the ResNets of Keras Applications expect), `"tf"` (to -1 to 1) or
            `"cifar10"` (as `"torch"`, with the mean and the standard deviation
            that the CIFAR networks were published with).

    Returns:
        float32 array or tensor of the same shape and kind.

    Raises:
        ValueError: for an unknown mode or a last axis that isn't 3.
    """
    reverse, mean, std = normalization_of(mode)
    if images.shape[-1] != 3:
        raise ValueError(
            "`images` must have three channels, RGB, as the last axis. "
            f"Received: images.shape={tuple(images.shape)}"
        )
    if reverse:
        images = images[..., ::-1]
    mean, std = np.array(mean, "float32"), np.array(std, "float32")
    if keras.ops.is_tensor(images):
        images = keras.ops.cast(images, "float32")
        shape, width = keras.ops.shape(images), images.shape[-2] if images.ndim > 1 else None
        if width is None:
            return (images - mean) / std
        # By whole rows: TensorFlow takes five times as long to broadcast along three channels.
        rows = keras.ops.reshape(images, (*shape[:-2], 3 * width))
        rows = (rows - np.tile(mean, width)) / np.tile(std, width)
        return keras.ops.reshape(rows, shape)
    return (np.asarray(images, "float32") - mean) / std


def normalized_zero(mode="torch"):
    """Returns what a black pixel becomes: three floats, the released code's padding."""
    return tuple(float(v) for v in preprocess_input(np.zeros(3), mode))


def normalization_of(mode):
    """Returns whether channels are reversed, the mean and the standard deviation of a mode."""
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {sorted(MODES)}. Received: mode={mode!r}")
    return MODES[mode]
