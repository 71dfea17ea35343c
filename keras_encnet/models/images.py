"""Checks that images are raw if the model normalizes them, and normalized otherwise."""

from __future__ import annotations

import types
from collections.abc import Generator, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

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


def checked_batch(images: Any, raw: bool) -> np.ndarray:
    """Returns one RGB image, or a batch of them, as a batch.

    Raises:
        ValueError: For another shape, or as `check_values`.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(
            "Expected RGB images `(height, width, 3)` or `(batch, height, width, 3)`, or a list "
            f"of the former. Received: shape={images.shape}"
        )
    check_values(images, raw)
    return images[None] if images.ndim == 3 else images


def check_values(images: np.ndarray, raw: bool) -> None:
    """Raises ValueError unless the values of images are those that a model expects.

    Images in float must not all be in 0 to 1, unless they are black.

    Args:
        images: Array of any shape.
        raw: Whether the model takes raw images; otherwise it takes normalized images.
    """
    dtype = tf.as_dtype(images.dtype)
    _check_dtype(dtype, raw)
    if raw and dtype != tf.uint8 and images.size:
        low, high = images.min(), images.max()
        if not _is_raw(low, high, dtype):
            raise ValueError(f"{NOT_RAW} Received: values from {low} to {high}")


def with_checked_images(data: Any, raw: bool) -> Any:
    """Checks the images in the data of `fit`, `evaluate` or `predict`.

    Arrays and tensors are checked completely, of everything else the first batch.

    Args:
        data: The argument `x`.
        raw: See `check_values`.

    Returns:
        `data`, with the check inside if it is a `tf.data.Dataset` or a generator.

    Raises:
        ValueError: As `check_values`. A dataset raises `InvalidArgumentError` when it is read.
    """
    if isinstance(data, tf.data.Dataset):
        return _checked_dataset(data, raw)
    if isinstance(data, types.GeneratorType):
        return _checked_generator(data, raw)
    if isinstance(data, keras.utils.PyDataset):
        _check_batch(data[0], raw)
    elif not isinstance(data, tf.distribute.DistributedDataset):
        _check_batch(data, raw)
    return data


def _check_batch(batch, raw):
    images = tf.nest.flatten(batch)[0]
    if hasattr(images, "__array__"):
        check_values(np.asarray(images), raw)
    elif isinstance(images, Iterable):  # such as a DataLoader of PyTorch
        for first in images:
            check_values(np.asarray(tf.nest.flatten(first)[0]), raw)
            break


def _checked_generator(batches: Generator, raw: bool) -> Generator:
    for number, batch in enumerate(batches):
        if number == 0:
            _check_batch(batch, raw)
        yield batch


def _checked_dataset(dataset, raw):
    spec = tf.nest.flatten(dataset.element_spec)[0]
    if not isinstance(spec, tf.TensorSpec):
        return dataset
    _check_dtype(spec.dtype, raw)
    if not raw or spec.dtype == tf.uint8:
        return dataset

    # In the pipeline, since XLA, with which Keras compiles steps on GPUs, drops assertions.
    def checked(number, batch):
        images = tf.nest.flatten(batch)[0]
        tf.cond(number == 0, lambda: _assert_raw(images), lambda: True)
        return batch

    return dataset.enumerate().map(checked)


def _assert_raw(images):
    low, high = (tf.cast(f(images), tf.float32) for f in (tf.reduce_min, tf.reduce_max))
    valid = _is_raw(low, high, images.dtype) | (tf.size(images) == 0)
    message = tf.strings.format(f"{NOT_RAW} Received: values from {{}} to {{}}", [low, high])
    tf.debugging.Assert(valid, [message])
    return True


def _check_dtype(dtype, raw):
    if not (dtype.is_floating or dtype.is_integer):
        raise ValueError(f"Images must hold numbers. Received: dtype={dtype.name}")
    if not raw and dtype.is_integer:
        raise ValueError(f"{NOT_NORMALIZED} Received: dtype={dtype.name}")


def _is_raw(low, high, dtype):
    """Returns whether images of this dtype with these extremes are raw."""
    in_range = (low >= -ROUNDING) & (high <= 255 + ROUNDING)
    is_scaled = (high <= 1 + ROUNDING) & ((low != 0) | (high != 0))
    return in_range & ~is_scaled if dtype.is_floating else in_range
