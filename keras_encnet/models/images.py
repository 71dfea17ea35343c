"""Checks that images are raw if the model normalizes them, and normalized otherwise."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Generator, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.layers.image_normalization import normalization_layer

# Resizing and lossy conversions exceed a range by less.
ROUNDING = 0.01

NOT_RAW = (
    "Images must be raw, with values in 0 to 255, since the model normalizes them. Multiply images "
    "scaled to 0 to 1 by 255, clip values outside 0 to 255, or build the model with "
    "`include_preprocessing=False` for images that are already normalized."
)
NOT_NORMALIZED = (
    "Images must be normalized floats, since the model was built with "
    "`include_preprocessing=False`. Use `keras_encnet.preprocess_input`, or build the model with "
    "`include_preprocessing=True` for raw images (with `preprocessing='none'` if the backbone "
    "normalizes them)."
)
OTHER_RANGE = (
    "Images must have the range of the images that the model was built for, with the mean {mean} "
    "and the standard deviation {std}. Store and scale them in the same way, without NaN."
)
# Images whose mean is farther away, in standard deviations, have another range.
FAR = 100
# Values in 0 to 1 are a scaled image for a model whose images usually exceed this ...
SCALE = 10
# ... if more than this share of them is no integer. Raw images may be black but for a few pixels.
FRACTIONAL = 0.1


@dataclasses.dataclass(frozen=True)
class Expected:
    """The images that a model takes.

    Attributes:
        channels: Integer, the number of channels.
        raw: Whether images are raw; otherwise they are normalized.
        mean: Numbers, the mean of each channel of the raw images; None if they are in 0 to 255.
        std: Their standard deviation, or None.
    """

    channels: int
    raw: bool
    mean: np.ndarray | None = None
    std: np.ndarray | None = None

    @property
    def has_bytes(self) -> bool:
        """Whether images in files of 8 bits per channel have the range of the raw images."""
        if self.mean is None or self.std is None:
            return self.raw
        usual = (self.mean >= 0) & (self.mean <= 255)
        return self.raw and bool(usual.all() and (self.mean + self.std).max() > SCALE)


def expected_by(model: keras.Model) -> Expected:
    """Returns what a functional model expects of its images."""
    channels, layer = model.inputs[0].shape[-1], normalization_layer(model)
    if layer is None or (layer.mean is None and layer.std is None):
        return Expected(channels, raw=layer is not None)
    return Expected(channels, True, *layer.statistics())


def checked_batch(images: Any, expected: Expected) -> np.ndarray:
    """Returns one image, or a batch of them, as a batch.

    Raises:
        ValueError: For another shape, or as `check_values`.
    """
    images, channels = np.asarray(images), expected.channels
    if images.ndim not in (3, 4) or images.shape[-1] != channels or 0 in images.shape:
        kind = "RGB images" if channels == 3 else "images"
        raise ValueError(
            f"Expected {kind} `(height, width, {channels})` or `(batch, height, width, "
            f"{channels})`, or a list of the former, for a model with `input_shape=(..., "
            f"{channels})`. Received: shape={images.shape}"
        )
    check_values(images, expected)
    return images[None] if images.ndim == 3 else images


def check_values(images: np.ndarray, expected: Expected) -> None:
    """Raises ValueError unless the values of images are those that a model expects.

    Images in float must not all be in 0 to 1, unless nearly all values are integers, as in black
    images, or unless the mean and the standard deviation of the model are those of such images.

    Args:
        images: Array `(..., channels)`.
        expected: What the model expects.
    """
    dtype = tf.as_dtype(images.dtype)
    _check_dtype(dtype, expected.raw)
    _check_channels(images.shape, expected)
    if _takes_any(dtype, expected) or not images.size:
        return
    low, high = images.min(), images.max()
    center = images.mean(tuple(range(images.ndim - 1)), dtype="float64")
    is_scaled = high <= 1 + ROUNDING and (images != np.round(images)).mean() > FRACTIONAL
    if not _is_in_range(low, high, center, is_scaled, expected):
        raise ValueError(f"{_range_of(expected)} Received: values from {low} to {high}")


def with_checked_images(data: Any, expected: Expected) -> Any:
    """Checks the images in the data of `fit`, `evaluate` or `predict`.

    Arrays and tensors are checked completely, of everything else the first batch.

    Args:
        data: The argument `x`.
        expected: What the model expects.

    Returns:
        `data`, with the check inside if it is a `tf.data.Dataset` or a generator.

    Raises:
        ValueError: As `check_values`. A dataset raises `InvalidArgumentError` when it is read.
    """
    if isinstance(data, tf.data.Dataset):
        return _checked_dataset(data, expected)
    if isinstance(data, types.GeneratorType):
        return _checked_generator(data, expected)
    if isinstance(data, keras.utils.PyDataset):
        _check_batch(data[0], expected)
    elif not isinstance(data, tf.distribute.DistributedDataset):
        _check_batch(data, expected)
    return data


def _check_batch(batch, expected):
    images = tf.nest.flatten(batch)[0]
    if hasattr(images, "__array__"):
        check_values(np.asarray(images), expected)
    elif isinstance(images, Iterable):  # such as a DataLoader of PyTorch
        for first in images:
            check_values(np.asarray(tf.nest.flatten(first)[0]), expected)
            break


def _checked_generator(batches: Generator, expected: Expected) -> Generator:
    for number, batch in enumerate(batches):
        if number == 0:
            _check_batch(batch, expected)
        yield batch


def _checked_dataset(dataset, expected):
    spec = tf.nest.flatten(dataset.element_spec)[0]
    if not isinstance(spec, tf.TensorSpec):
        return dataset
    _check_dtype(spec.dtype, expected.raw)
    _check_channels(spec.shape, expected)
    if _takes_any(spec.dtype, expected):
        return dataset

    # In the pipeline, since XLA, with which Keras compiles steps on GPUs, drops assertions.
    def checked(number, batch):
        images = tf.nest.flatten(batch)[0]
        tf.cond(number == 0, lambda: _assert_in_range(images, expected), lambda: True)
        return batch

    return dataset.enumerate().map(checked)


def _assert_in_range(images, expected):
    low, high = (tf.cast(f(images), tf.float32) for f in (tf.reduce_min, tf.reduce_max))
    pixels = tf.reshape(tf.cast(images, tf.float64), (-1, expected.channels))
    center = tf.reduce_mean(pixels, 0)
    fractional = tf.reduce_mean(tf.cast(pixels != tf.round(pixels), tf.float32))
    is_scaled = (high <= 1 + ROUNDING) & (fractional > FRACTIONAL)
    valid = _is_in_range(low, high, center, is_scaled, expected) | (tf.size(images) == 0)
    text = _range_of(expected).replace("{", "(").replace("}", ")")
    message = tf.strings.format(f"{text} Received: values from {{}} to {{}}", [low, high])
    tf.debugging.Assert(valid, [message])
    return True


def _check_channels(shape, expected):
    if shape.rank if isinstance(shape, tf.TensorShape) else shape:
        channels = shape[-1]
        if channels not in (None, expected.channels):
            raise ValueError(
                f"The model takes images with {expected.channels} channels, the last axis. "
                f"Received: images of shape {tuple(shape)}"
            )


def _takes_any(dtype, expected):
    """Returns whether a model takes all images of a dtype."""
    return not expected.raw or (expected.mean is None and dtype == tf.uint8)


def _check_dtype(dtype, raw):
    if not (dtype.is_floating or dtype.is_integer):
        raise ValueError(f"Images must hold numbers. Received: dtype={dtype.name}")
    if not raw and dtype.is_integer:
        raise ValueError(f"{NOT_NORMALIZED} Received: dtype={dtype.name}")


def _is_in_range(low, high, center, is_scaled, expected):
    """Returns whether images with these extremes and means are raw."""
    if expected.mean is None:
        return (low >= -ROUNDING) & (high <= 255 + ROUNDING) & ~is_scaled
    distances = abs(center - expected.mean) / expected.std
    in_range = keras.ops.all(distances <= FAR) if tf.is_tensor(center) else (distances <= FAR).all()
    in_range &= (low > -np.inf) & (high < np.inf)
    return in_range & ~is_scaled if (expected.mean + expected.std).max() > SCALE else in_range


def _range_of(expected):
    if expected.mean is None:
        return NOT_RAW
    mean, std = (np.round(x, 4).tolist() for x in (expected.mean, expected.std))
    return OTHER_RANGE.format(mean=mean, std=std)
