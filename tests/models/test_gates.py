"""Gates compute their equations in any functional model."""

import keras
import numpy as np
import pytest

from keras_encnet import context_encoding_gate, squeeze_excitation_gate


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights_of(model, layer):
    return [np.asarray(weight, "float64") for weight in model.get_layer(layer).weights]


@pytest.fixture
def features(rng):
    return rng.normal(size=(2, 5, 7, 8)).astype("float32")


def test_context_encoding_gate_computes_its_equation(features, randomize):
    inputs = keras.Input((None, None, 8))
    model = keras.Model(inputs, context_encoding_gate(inputs, num_codewords=3, name="g"))
    randomize(model)
    kernel, bias = weights_of(model, "g_conv")
    gamma, beta, mean, variance = weights_of(model, "g_bn")
    x = features.astype("float64") @ kernel[0, 0] + bias
    x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0).reshape(2, 35, 2)
    codewords, scale = weights_of(model, "g_encoding")
    residuals = x[:, :, None] - codewords
    assignment = np.exp(scale * np.square(residuals).sum(-1))
    assignment /= assignment.sum(-1, keepdims=True)
    code = (assignment[..., None] * residuals).sum(1).reshape(2, 6)
    code /= np.linalg.norm(code, axis=1, keepdims=True)
    kernel, bias = weights_of(model, "g_attention")
    expected = features * sigmoid(code @ kernel + bias)[:, None, None]
    np.testing.assert_allclose(model(features), expected, rtol=1e-4, atol=1e-5)


def test_squeeze_excitation_gate_computes_its_equation(features, randomize):
    inputs = keras.Input((None, None, 8))
    model = keras.Model(inputs, squeeze_excitation_gate(inputs, reduction=4, name="g"))
    randomize(model)
    kernel, bias = weights_of(model, "g_dense")
    hidden = np.maximum(features.astype("float64").mean((1, 2)) @ kernel + bias, 0)
    kernel, bias = weights_of(model, "g_attention")
    expected = features * sigmoid(hidden @ kernel + bias)[:, None, None]
    np.testing.assert_allclose(model(features), expected, rtol=1e-4, atol=1e-5)


def test_gates_and_gradients_of_a_black_image_are_finite():
    # Its code may be zero, which cannot be normalized.
    import tensorflow as tf

    inputs = keras.Input((4, 4, 8))
    model = keras.Model(inputs, context_encoding_gate(inputs))
    model.get_layer("gate_encoding").codewords.assign(np.zeros((16, 2)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(np.zeros((2, 4, 4, 8), "float32"), training=True))
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    assert all(np.isfinite(g).all() for g in gradients if g is not None)


@pytest.mark.parametrize("gate", [context_encoding_gate, squeeze_excitation_gate])
@pytest.mark.parametrize("reduction", [0, 9, 2.5])
def test_invalid_reduction_raises(gate, reduction):
    with pytest.raises(ValueError, match=f"from 1 to 8. Received: reduction={reduction}"):
        gate(keras.Input((4, 4, 8)), reduction=reduction)
