"""Encoding layers of `encnetdrop`: random scales in training, a constant one at inference."""

import numpy as np
import pytest

from keras_encnet.layers import Encoding
from tests.layers.encodings import encode, encoding_of, parameters, relative_error


def test_stochastic_scale_differs_between_training_batches(rng):
    layer = Encoding(4, stochastic_scale=True, seed=7)
    x = np.repeat(rng.normal(size=(1, 3, 3, 6)), 2, 0).astype("float32")
    first, second = layer(x, training=True), layer(x, training=True)
    assert relative_error(first, second.numpy()) > 1e-2
    # One scale per batch: equal images have equal codes.
    np.testing.assert_allclose(first[0], first[1], rtol=1e-5)


def test_equal_seeds_give_equal_stochastic_scales(rng):
    parameters_ = parameters(rng, 4, 6)
    x = rng.normal(size=(2, 3, 3, 6)).astype("float32")

    def draws(seed):
        layer = encoding_of(*parameters_, stochastic_scale=True, seed=seed)
        return np.stack([layer(x, training=True) for _ in range(2)])

    np.testing.assert_array_equal(draws(7), draws(7))
    assert not np.allclose(draws(7), draws(8))


@pytest.mark.parametrize("stored", [-0.9, 0.0, 3.0])
def test_inference_with_stochastic_scale_ignores_the_stored_scale(rng, stored):
    codewords, _ = parameters(rng, 4, 6)
    layer = encoding_of(codewords, np.full(4, stored), stochastic_scale=True)
    x = rng.normal(size=(2, 3, 3, 6)).astype("float32")
    expected, assignment = encode(x, codewords, -0.5)
    assert relative_error(layer(x), expected) < 1e-5
    assert relative_error(layer.assignment(x), assignment) < 1e-5


def test_training_without_stochastic_scale_uses_the_stored_scale(rng):
    codewords, scale = parameters(rng, 4, 6)
    layer = encoding_of(codewords, scale)
    x = rng.normal(size=(2, 3, 3, 6)).astype("float32")
    assert relative_error(layer(x, training=True), encode(x, codewords, scale)[0]) < 1e-5
