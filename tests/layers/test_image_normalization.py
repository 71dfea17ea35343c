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


@pytest.mark.parametrize("channels", [1, 4])
def test_images_without_three_channels_raise_an_error(channels):
    with pytest.raises(ValueError, match="include_preprocessing=False.*Received: input_shape="):
        ImageNormalization()(np.zeros((1, 5, 7, channels), "uint8"))


def test_unknown_mode_raises_an_error():
    with pytest.raises(ValueError, match="Received: mode='pytorch'"):
        ImageNormalization("pytorch")
