"""FeatureMapAttention scales feature maps by gates between 0 and 1."""

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
    """Builds a layer from 5-channel codes to gates on 7 channels, and draws inputs for it."""

    def build(gating, **kwargs):
        layer = FeatureMapAttention(gating, **kwargs)
        layer.build((None, None, None, 7), (None, 5))
        layer.kernel.assign(rng.normal(size=(5, 7)))
        layer.bias.assign(rng.normal(size=7))
        features = rng.normal(size=(2, 3, 4, 7)).astype("float32")
        return layer, features, rng.normal(size=(2, 5)).astype("float32")

    return build


@pytest.mark.parametrize("gating", ["scale", "residual"])
def test_the_output_is_the_equation(attention, gating):
    layer, features, code = attention(gating)
    expected = attend(features, code, layer.kernel.numpy(), layer.bias.numpy(), gating)
    np.testing.assert_allclose(layer(features, code), expected, rtol=1e-5, atol=1e-6)


def test_the_default_gating_is_that_of_the_paper():
    assert FeatureMapAttention().gating == "scale"


def test_gates_start_half_open_where_the_kernel_starts_at_zero():
    layer = FeatureMapAttention(kernel_initializer="zeros")
    layer.build((None, None, None, 7), (None, 5))
    np.testing.assert_array_equal(layer.gates(np.full((2, 5), 1e4)), np.full((2, 7), 0.5))


def test_features_of_any_size_are_taken(attention):
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
def test_mixed_precision_lowers_features_but_not_gates(attention, policy, dtype, tolerance):
    layer, features, code = attention("residual", dtype=policy)
    out = layer(features, code)
    assert layer.gates(code).dtype == "float32"
    assert keras.backend.standardize_dtype(out.dtype) == dtype
    expected = attend(features, code, layer.kernel.numpy(), layer.bias.numpy(), "residual")
    error = np.abs(tf.cast(out, "float64") - expected).max() / expected.max()
    assert error < tolerance


def test_codes_beyond_float16_open_and_close_gates(attention):
    layer, features, code = attention("scale", dtype="mixed_float16")
    layer.bias.assign(np.zeros(7))
    gates = layer.gates(1e6 * code).numpy()
    np.testing.assert_array_equal(gates, code @ layer.kernel.numpy() > 0)
    assert np.isfinite(layer(features, 1e6 * code)).all()


@pytest.mark.parametrize("gating", ["sigmoid", None])
def test_an_unknown_gating_is_refused(gating):
    with pytest.raises(ValueError, match=f"Received: gating={gating!r}"):
        FeatureMapAttention(gating)


@pytest.mark.parametrize(
    ("features", "code"), [((2, 9, 7), (2, 5)), ((2, 3, 3, 7), (2, 4, 5)), ((2, 7), (2, 5))]
)
def test_inputs_of_other_ranks_are_refused(features, code):
    with pytest.raises(ValueError, match=r"Received: features.shape=.*code.shape="):
        FeatureMapAttention()(np.ones(features), np.ones(code))


@pytest.mark.parametrize("gating", ["scale", "residual"])
def test_a_saved_model_attends_as_before(attention, tmp_path, gating):
    layer, features, code = attention(gating, name="attention")
    inputs = keras.Input((None, None, 7)), keras.Input((5,))
    model = keras.Model(inputs, layer(*inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("attention").get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded((features, code)), model((features, code)))
