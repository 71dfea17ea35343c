"""On GPUs that round to TF32, simulated here, the products of the encoding keep their digits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import Encoding
from keras_encnet.utils import numerics


def rounded(x):
    """To TF32: 11 bits of the mantissa, the hidden one included, to the nearest."""
    bits = np.asarray(x, "float32").view("uint32").astype("uint64") + (1 << 12)
    return (bits >> 13 << 13).astype("uint32").view("float32")


@pytest.fixture
def tf32(monkeypatch):
    """Multiplies as such a GPU does: factors rounded, sums in float32."""
    matmul = numerics.ops.matmul

    def of_rounded(a, b):
        return matmul(*(tf.numpy_function(rounded, [x], tf.float32) for x in (a, b)))

    monkeypatch.setattr(numerics.ops, "matmul", of_rounded)
    return lambda on: monkeypatch.setattr(numerics, "_rounds_to_tf32", lambda: on)


@pytest.mark.parametrize("shape_b", [(64, 5), (2, 64, 5)])
def test_three_products_keep_the_digits_that_tf32_loses(shape_b, tf32, rng):
    a, b = (rng.normal(size=shape).astype("float32") for shape in ((2, 30, 64), shape_b))
    upstream = rng.normal(size=(2, 30, 5)).astype("float32")

    def errors():
        with tf.GradientTape() as tape:
            factors = [tf.constant(a), tf.constant(b)]
            tape.watch(factors)
            product = numerics.full_matmul(*factors)
            loss = tf.reduce_sum(product * upstream)
        exact = np.matmul(a.astype("float64"), b.astype("float64"))
        of_a = np.matmul(upstream, np.swapaxes(b, -1, -2).astype("float64"))
        of_b = np.matmul(np.swapaxes(a, -1, -2).astype("float64"), upstream)
        of_b = of_b.sum(0) if b.ndim == 2 else of_b
        found = [product] + (tape.gradient(loss, factors) if on else [])
        return [
            np.abs(one - other).max()
            for one, other in zip(found, (exact, of_a, of_b), strict=False)
        ]

    on = False
    tf32(on)
    assert min(errors()) > 1e-3
    on = True
    tf32(on)
    assert max(errors()) < 5e-5


def test_an_encoding_of_pixels_close_to_codewords_keeps_its_digits(tf32, rng):
    codewords = rng.normal(size=(4, 64)).astype("float32")
    x = codewords[rng.integers(0, 4, (1, 50))] + 1e-2 * rng.normal(size=(1, 50, 64))
    keras.config.set_dtype_policy("float32")
    layer = Encoding(4)
    layer.build(x.shape)
    layer.set_weights([codewords, -np.ones(4, "float32")])

    residuals = x[:, :, None] - codewords.astype("float64")
    logits = -(residuals**2).sum(-1)
    assignment = np.exp(logits - logits.max(-1, keepdims=True))
    assignment /= assignment.sum(-1, keepdims=True)
    expected = (assignment[..., None] * residuals).sum(1)

    def error():
        return np.abs(layer(x.astype("float32")) - expected).max()

    tf32(False)
    assert error() > 1e-3  # of codes of about 0.05
    tf32(True)
    assert error() < 3e-5
