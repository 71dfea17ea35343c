"""Images with any number of channels, and of floats, are augmented like RGB images."""

import numpy as np
import pytest
import tensorflow as tf

from training.input.augmentation import Augmentation, augment, resize_pair

RANDOM = {"augmentation": Augmentation(), "crop_size": (12, 14), "seed": (3, 7)}
CHANNELS = pytest.mark.parametrize("channels", [4, pytest.param(1, marks=pytest.mark.slow)])


@CHANNELS
def test_channels_are_augmented_like_those_of_rgb_images(rng, channels):
    image, mask = rng.integers(0, 256, (17, 21, 9), "uint8"), np.zeros((17, 21), "int32")
    whole = augment(image[..., :channels], mask, **RANDOM)[0]
    for first in range(0, channels, 3):
        part = augment(image[..., first : first + 3], mask, **RANDOM)[0]
        shared = min(3, channels - first)
        np.testing.assert_array_equal(whole[..., first : first + 3], part[..., :shared])


@CHANNELS
def test_floats_are_interpolated_like_integers(rng, channels):
    image, mask = rng.integers(0, 256, (17, 21, channels), "uint8"), np.zeros((17, 21), "int32")
    rounded, _ = augment(image, mask, **RANDOM)
    exact, _ = augment(image.astype("float32") * 1000, mask, **RANDOM)
    assert exact.dtype == "float32"
    np.testing.assert_allclose(exact / 1000, rounded, atol=0.51)


def test_the_identity_changes_no_float(rng):
    image = rng.normal(0, 1e6, (9, 11, 2)).astype("float32")
    same = Augmentation(flip=False, scale=(1.0, 1.0), rotation=0.0)
    crop, _ = augment(image, np.zeros((9, 11), "int32"), same, crop_size=(9, 11), seed=(0, 1))
    np.testing.assert_array_equal(crop, image)


def test_floats_keep_their_values_when_resized(rng):
    image = rng.normal(3000, 500, (20, 30, 4)).astype("float32")
    resized, _ = resize_pair(image, np.zeros((20, 30), "int32"), 15)
    assert (resized.dtype, resized.shape) == ("float32", (10, 15, 4))
    np.testing.assert_allclose(tf.reduce_mean(resized), image.mean(), rtol=0.01)
