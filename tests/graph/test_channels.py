"""Weights for RGB images fit networks for any number of channels, with the same features."""

import keras
import numpy as np
import pytest

from keras_encnet import FCN, EncNet, ResNet14
from keras_encnet.applications.pretrained import copy_weights
from keras_encnet.backbones import ResNet, as_backbone
from keras_encnet.graph.channels import image_convolutions, inflated, load_weights
from keras_encnet.layers import BatchNormalization, ImageNormalization
from tests.fixtures import raw_images

STATISTICS = {"mean": 110.0, "std": 60.0}


def resnet(channels, **options):
    return ResNet(
        (1, 1, 1, 1),
        bottleneck=False,
        width_multiplier=0.0625,
        input_shape=(None, None, channels),
        **options,
    )


def network(channels):
    """The least network that normalizes images and convolves them."""
    x = images = keras.Input((None, None, channels), name="images")
    x = ImageNormalization("torch", **STATISTICS)(x)
    x = keras.layers.Conv2D(4, 3, 2, padding="same", name="first")(x)
    x = BatchNormalization(name="bn")(x)
    return keras.Model(images, {"features": keras.layers.Conv2D(2, 3, name="second")(x)})


def assert_same_features(one, other, images, others):
    for x, y in zip(one(images).values(), other(others).values(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def rgb(randomize):
    return randomize(network(3))


@pytest.fixture(scope="module")
def rgb_file(rgb, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "rgb.weights.h5"
    rgb.save_weights(path)
    return path


def loaded(path, channels):
    model = network(channels)
    load_weights(model, path)
    return model


def test_rgb_kernels_are_repeated_and_scaled(rng):
    kernel = rng.normal(size=(3, 3, 3, 5)).astype("float32")
    for channels in (2, 4, 5, 6, 7):
        expected = np.concatenate([kernel] * 3, 2)[:, :, :channels] * 3 / channels
        found = inflated(kernel, channels)
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(inflated(kernel, 1), kernel.sum(2, keepdims=True))
    assert inflated(kernel, 3) is kernel


def test_gray_images_have_the_features_of_rgb_images_with_equal_channels(rgb, rgb_file):
    images = raw_images(2, 33, 47)[..., :1]
    assert_same_features(loaded(rgb_file, 1), rgb, images, images.repeat(3, -1))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["caffe", "tf"])
def test_repeated_channels_have_the_features_of_the_rgb_image(mode, randomize):
    # The order of channels, which `caffe` reverses, must be the same in each group of three.
    rgb, twice = (resnet(channels, preprocessing=mode) for channels in (3, 6))
    randomize(rgb)
    assert copy_weights(rgb, twice) == []
    images = raw_images(1, 33, 47)
    assert_same_features(twice, rgb, np.tile(images, 2), images)


@pytest.mark.parametrize("channels", [2, 4])
def test_weights_of_a_file_are_those_of_copied_layers(rgb, rgb_file, channels):
    copied = network(channels)
    copy_weights(rgb, copied)
    for one, other in zip(loaded(rgb_file, channels).weights, copied.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_as_many_channels_are_loaded_unchanged(tmp_path, randomize):
    model = randomize(network(4))
    model.save_weights(tmp_path / "own.weights.h5")
    for one, other in zip(
        model.weights, loaded(tmp_path / "own.weights.h5", 4).weights, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_builders_load_weights_for_rgb_images(tiny_backbone, randomize, tmp_path):
    options = {"classes": 3, "auxiliary": "none", **STATISTICS}
    model = randomize(FCN(tiny_backbone(3), **options))
    model.save_weights(tmp_path / "rgb.weights.h5")
    gray = FCN(tiny_backbone(1), weights=tmp_path / "rgb.weights.h5", **options)
    images = raw_images(1, 9, 9)[..., :1]
    assert_same_features(gray, model, images, images.repeat(3, -1))


@pytest.mark.slow
def test_cifar_weights_fit_gray_images(tmp_path, randomize):
    model = randomize(ResNet14(2, **STATISTICS))
    model.save_weights(tmp_path / "rgb.weights.h5")
    options = {"weights": tmp_path / "rgb.weights.h5", "input_shape": (32, 32, 1)}
    gray = ResNet14(2, **options, **STATISTICS)
    images = raw_images(2, 32, 32)[..., :1]
    np.testing.assert_allclose(gray(images), model(images.repeat(3, -1)), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_network_raise(channels, tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights(path)
    with pytest.raises(ValueError, match=r"of another model.*Received: weights=.*other\.weights"):
        loaded(path, channels)


def test_the_convolutions_of_the_images_are_found():
    x = images = keras.Input((None, None, 3))
    x = keras.layers.ZeroPadding2D()(keras.layers.Rescaling(1 / 255)(x))
    x, y = (keras.layers.Conv2D(3, 3, name=name)(x) for name in ("first", "second"))
    z = keras.layers.Conv2D(3, 3, name="third")(keras.layers.Add()([x, y]))
    assert image_convolutions(keras.Model(images, z)) == {"first", "second"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (1, 2, 3)}, r"one number per channel, 4.*Received: mean=\(1"),
        ({"std": (1, 2, 3, 0)}, "`std` must be positive. Received: std="),
        ({"mean": float("nan")}, "finite number.*Received: mean=nan"),
        ({"std": "50"}, "finite number.*Received: std='50'"),
        ({"mean": 1.0, "include_preprocessing": False}, "omit them.*Received: mean=1.0"),
    ],
)
def test_invalid_statistics_raise(options, message, tiny_backbone):
    with pytest.raises(ValueError, match=message):
        EncNet(tiny_backbone(4), classes=3, channels=4, **options)


def test_statistics_of_a_backbone_that_normalizes_images_raise():
    backbone = resnet(4, preprocessing="torch", mean=90, std=50)
    with pytest.raises(ValueError, match="where it is built. Received: backbone='resnet', mean=1"):
        as_backbone(backbone, mean=1)
