"""`AdaptiveAveragePooling` averages over PyTorch's bins, for sizes known at run time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import AdaptiveAveragePooling


def averages(x, bins):
    """The definition, in float64."""
    _, height, width, _ = x.shape

    def bounds(i, size):
        return int(np.floor(i * size / bins)), int(np.ceil((i + 1) * size / bins))

    rows = [slice(*bounds(i, height)) for i in range(bins)]
    columns = [slice(*bounds(i, width)) for i in range(bins)]
    x = x.astype("float64")
    return np.stack([np.stack([x[:, r, c].mean((1, 2)) for c in columns], 1) for r in rows], 1)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(12, 18), (17, 12), (7, 5), (2, 4), (1, 1), (97, 33)])
def test_bins_are_averages_that_may_overlap(rng, bins, size):
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    np.testing.assert_allclose(AdaptiveAveragePooling(bins)(x), averages(x, bins), atol=1e-6)


def test_gradients_of_all_bins_sum_to_their_number(rng):
    x = tf.constant(rng.normal(size=(2, 7, 10, 3)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(AdaptiveAveragePooling(3)(x))
    gradient = tape.gradient(total, x)
    np.testing.assert_allclose(tf.reduce_sum(gradient, [1, 2]), np.full((2, 3), 9.0), rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_functional_model_supports_unknown_sizes(rng, jit_compile):
    x = keras.Input((None, None, 4))
    model = keras.Model(x, AdaptiveAveragePooling(3)(x))
    assert model.output.shape == (None, 3, 3, 4)
    run = tf.function(model, jit_compile=jit_compile)
    for size in ((5, 9), (8, 3)):
        images = rng.normal(size=(2, *size, 4)).astype("float32")
        np.testing.assert_allclose(run(images), averages(images, 3), atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float64"])
def test_averages_are_computed_in_float32_at_least(rng, policy):
    layer = AdaptiveAveragePooling(2, dtype=policy)
    # The sum over pixels exceeds the range of float16.
    x = (1000 + rng.normal(size=(1, 40, 40, 2))).astype("float32")
    out = layer(x)
    assert out.dtype == layer.compute_dtype
    tolerance = {"mixed_bfloat16": 1e-2, "mixed_float16": 1e-3}.get(policy, 1e-6)
    np.testing.assert_allclose(tf.cast(out, "float32"), averages(x, 2), rtol=tolerance)


def test_configuration_round_trips():
    layer = AdaptiveAveragePooling(6, name="pool")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (type(copy), copy.bins, copy.name) == (AdaptiveAveragePooling, 6, "pool")


@pytest.mark.parametrize("bins", [0, -1, 1.5, None])
def test_invalid_number_of_bins_raises(bins):
    with pytest.raises(ValueError, match=f"`bins` must be an integer.*Received: bins={bins}"):
        AdaptiveAveragePooling(bins)


def test_input_without_four_axes_raises():
    with pytest.raises(ValueError, match=r"Received: shape=\(2, 3, 4\)"):
        AdaptiveAveragePooling(2)(np.zeros((2, 3, 4), "float32"))
