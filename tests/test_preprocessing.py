"""`preprocess_input` matches Keras Applications, without its side effects."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import preprocess_input

MODES = ("torch", "caffe", "tf")


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (2, 5, 7, 3)).astype("uint8")


def expected(images, mode):
    images = np.array(images, "float32")
    return keras.applications.imagenet_utils.preprocess_input(images, "channels_last", mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_arrays_match_keras_applications(images, mode, dtype):
    out = preprocess_input(images.astype(dtype), mode)
    assert isinstance(out, np.ndarray)
    assert out.dtype == "float32"
    np.testing.assert_allclose(out, expected(images, mode), rtol=1e-5, atol=1e-5)


def test_cifar_images_are_normalized_as_published():
    # Mean and standard deviation of pixels in 0 to 1, as in the official code.
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    pixels = np.array([[0, 128, 255]], "uint8")
    wanted = (pixels / 255 - mean) / std
    np.testing.assert_allclose(preprocess_input(pixels, "cifar10"), wanted, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_tensors_match_keras_applications(images, mode):
    out = preprocess_input(tf.constant(images), mode)
    assert tf.is_tensor(out)
    assert out.dtype == "float32"
    np.testing.assert_allclose(out, expected(images, mode), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_single_image_is_supported(images, mode):
    np.testing.assert_array_equal(
        preprocess_input(images[0], mode), preprocess_input(images, mode)[0]
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_input_is_not_modified(images, mode, dtype):
    given = images.astype(dtype)
    preprocess_input(given, mode)
    np.testing.assert_array_equal(given, images)


@pytest.mark.parametrize("mode", MODES)
def test_dataset_with_unknown_image_sizes_is_supported(images, mode):
    signature = tf.TensorSpec((None, None, 3), tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: iter(images), output_signature=signature)
    (first, second) = dataset.map(lambda image: preprocess_input(image, mode))
    np.testing.assert_allclose(first, expected(images, mode)[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(second, expected(images, mode)[1], rtol=1e-5, atol=1e-5)


def test_default_mode_is_torch(images):
    np.testing.assert_array_equal(preprocess_input(images), preprocess_input(images, "torch"))


def test_mode_none_only_converts_to_float32(images):
    out = preprocess_input(images, "none")
    assert out.dtype == "float32"
    np.testing.assert_array_equal(out, images)


@pytest.mark.parametrize("shape", [(5, 7, 4), (5, 7, 1), (5, 7)])
@pytest.mark.parametrize("kind", [np.zeros, tf.zeros])
def test_images_without_three_channels_raise_an_error(shape, kind):
    with pytest.raises(ValueError, match=r"three channels.*Received: images.shape=\(5, 7"):
        preprocess_input(kind(shape))


@pytest.mark.parametrize("mode", ["pytorch", None])
def test_unknown_mode_raises_an_error(images, mode):
    with pytest.raises(ValueError, match=f"Received: mode={mode!r}"):
        preprocess_input(images, mode)
