"""`ImageNormalization` is `preprocess_input` as a layer, exact under every dtype policy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import preprocess_input
from keras_encnet.layers import ImageNormalization
from keras_encnet.preprocessing import MODES


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (2, 5, 7, 3)).astype("uint8")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_output_matches_preprocess_input(images, mode, dtype):
    out = ImageNormalization(mode)(images.astype(dtype))
    assert out.dtype == "float32"
    np.testing.assert_allclose(out, preprocess_input(images, mode), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_low_precision_rounds_only_the_result(images, policy):
    # 0.3 apart: bfloat16 has steps of 1 between 128 and 256, float16 of 1/8.
    raw = images.astype("float32") * 0.998
    inputs = keras.Input((None, None, 3))
    layer = ImageNormalization("torch", dtype=policy)
    outputs = layer(inputs)
    assert outputs.dtype == layer.compute_dtype
    out = keras.Model(inputs, outputs)(raw)
    assert out.dtype == layer.compute_dtype
    expected = tf.cast(preprocess_input(raw), layer.compute_dtype)
    np.testing.assert_array_equal(tf.cast(out, "float32"), tf.cast(expected, "float32"))


def test_images_of_unknown_size_are_accepted(images):
    inputs = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(inputs, ImageNormalization("caffe")(inputs))
    signature = tf.TensorSpec((None, None, None, 3), tf.uint8)
    out = tf.function(model, input_signature=[signature])(images)
    np.testing.assert_allclose(out, preprocess_input(images, "caffe"), rtol=1e-6)


def test_saved_layer_keeps_its_mode(images, tmp_path):
    model = keras.Sequential([keras.Input((5, 7, 3)), ImageNormalization("caffe")])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize("mode", MODES)
def test_constants_are_repeated_for_more_channels(images, mode):
    out = ImageNormalization(mode)(np.concatenate([images, images], -1))
    once = ImageNormalization(mode)(images)
    np.testing.assert_array_equal(out, np.concatenate([once, once], -1))
    assert ImageNormalization(mode)(images[..., [0, 1, 2, 0]]).shape[-1] == 4


@pytest.mark.parametrize("mode", MODES)
def test_one_channel_has_the_mean_of_the_constants(images, mode):
    _, mean, std = MODES[mode]
    out = ImageNormalization(mode)(images[..., :1])
    expected = (images[..., :1] - np.mean(mean)) / np.mean(std)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_images_are_standardized_by_their_own_statistics(rng, channels):
    images = rng.uniform(0, 5000, (2, 5, 7, channels)).astype("float32")
    mean, std = rng.uniform(1000, 2000, (2, channels))
    out = ImageNormalization("torch", mean.tolist(), std.tolist())(images)
    np.testing.assert_allclose(out, (images - mean) / std, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_images_with_own_statistics_become_those_of_the_training_of_the_weights(rng, mode):
    mean, std = MODES["cifar10" if mode == "cifar10" else "torch"][1:]
    standard = rng.normal(size=(2, 5, 7, 3))
    own = ImageNormalization(mode, (1000, 2000, 3000), (10, 20, 30))
    images = (standard * (10, 20, 30) + (1000, 2000, 3000)).astype("float32")
    expected = ImageNormalization(mode)((standard * std + mean).astype("float32"))
    np.testing.assert_allclose(own(images), expected, rtol=1e-4, atol=1e-2)


def test_saved_layer_keeps_its_statistics(tmp_path):
    layer = ImageNormalization("tf", (1.0, 2.0), 3.0)
    model = keras.Sequential([keras.Input((5, 7, 2)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.layers[0].mean, loaded.layers[0].std) == ((1.0, 2.0), (3.0,))
    x = np.full((1, 5, 7, 2), 9, "uint8")
    np.testing.assert_array_equal(loaded(x), model(x))


def test_unknown_mode_raises_an_error():
    with pytest.raises(ValueError, match="Received: mode='pytorch'"):
        ImageNormalization("pytorch")
