"""`FeatureMapAttention` scales feature maps by gates between 0 and 1."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import FeatureMapAttention


def attend(features, code, kernel, bias, gating):
    """The equations in float64."""
    gates = 1 / (1 + np.exp(-(code.astype("float64") @ kernel + bias)))[:, None, None, :]
    scaled = features.astype("float64") * gates
    return scaled if gating == "scale" else np.maximum(features + scaled, 0)


@pytest.fixture
def attention(rng):
    """Builds a layer from codes of 5 channels to gates of 7 channels, and random inputs."""

    def build(gating, **kwargs):
        layer = FeatureMapAttention(gating, **kwargs)
        layer.build((None, None, None, 7), (None, 5))
        layer.kernel.assign(rng.normal(size=(5, 7)))
        layer.bias.assign(rng.normal(size=7))
        features = rng.normal(size=(2, 3, 4, 7)).astype("float32")
        return layer, features, rng.normal(size=(2, 5)).astype("float32")

    return build


@pytest.mark.parametrize("gating", ["scale", "residual"])
def test_output_matches_the_equation(attention, gating):
    layer, features, code = attention(gating)
    expected = attend(features, code, layer.kernel.numpy(), layer.bias.numpy(), gating)
    np.testing.assert_allclose(layer(features, code), expected, rtol=1e-5, atol=1e-6)


def test_default_gating_is_that_of_the_paper():
    assert FeatureMapAttention().gating == "scale"


def test_gates_start_at_one_half_with_a_kernel_of_zeros():
    layer = FeatureMapAttention(kernel_initializer="zeros")
    layer.build((None, None, None, 7), (None, 5))
    np.testing.assert_array_equal(layer.gates(np.full((2, 5), 1e4)), np.full((2, 7), 0.5))


def test_features_of_any_size_are_supported(attention):
    layer, features, code = attention("residual")
    inputs = keras.Input((None, None, 7)), keras.Input((5,))
    model = keras.Model(inputs, layer(*inputs))
    assert model.output_shape == (None, None, None, 7)
    for size in (1, 3):
        part = features[:, :size, :size]
        np.testing.assert_array_equal(model((part, code)), layer(part, code))


@pytest.mark.parametrize(
    ("policy", "dtype", "tolerance"),
    [("mixed_float16", "float16", 2e-3), ("mixed_bfloat16", "bfloat16", 2e-2)],
)
def test_mixed_precision_keeps_gates_in_float32(attention, policy, dtype, tolerance):
    layer, features, code = attention("residual", dtype=policy)
    out = layer(features, code)
    assert layer.gates(code).dtype == "float32"
    assert keras.backend.standardize_dtype(out.dtype) == dtype
    expected = attend(features, code, layer.kernel.numpy(), layer.bias.numpy(), "residual")
    error = np.abs(tf.cast(out, "float64") - expected).max() / expected.max()
    assert error < tolerance


def test_codes_beyond_the_range_of_float16_saturate_the_gates(attention):
    layer, features, code = attention("scale", dtype="mixed_float16")
    layer.bias.assign(np.zeros(7))
    gates = layer.gates(1e6 * code).numpy()
    np.testing.assert_array_equal(gates, code @ layer.kernel.numpy() > 0)
    assert np.isfinite(layer(features, 1e6 * code)).all()


@pytest.mark.parametrize("gating", ["sigmoid", None])
def test_unknown_gating_raises_an_error(gating):
    with pytest.raises(ValueError, match=f"Received: gating={gating!r}"):
        FeatureMapAttention(gating)


@pytest.mark.parametrize(
    ("features", "code"), [((2, 9, 7), (2, 5)), ((2, 3, 3, 7), (2, 4, 5)), ((2, 7), (2, 5))]
)
def test_inputs_of_other_ranks_raise_an_error(features, code):
    with pytest.raises(ValueError, match=r"Received: features.shape=.*code.shape="):
        FeatureMapAttention()(np.ones(features), np.ones(code))


@pytest.mark.parametrize("gating", ["scale", "residual"])
def test_saved_model_gives_the_same_output(attention, tmp_path, gating):
    layer, features, code = attention(gating, name="attention")
    inputs = keras.Input((None, None, 7)), keras.Input((5,))
    model = keras.Model(inputs, layer(*inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("attention").get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded((features, code)), model((features, code)))
