"""On a simulated GPU that rounds to TF32, `full_matmul` and `Encoding` keep full precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import Encoding
from keras_encnet.utils import numerics


def rounded(x):
    """Rounds to the nearest TF32, whose mantissa has 11 bits, including the hidden one."""
    bits = np.asarray(x, "float32").view("uint32").astype("uint64") + (1 << 12)
    return (bits >> 13 << 13).astype("uint32").view("float32")


@pytest.fixture
def simulated_gpu(monkeypatch):
    """Multiplies as such a GPU does: factors in TF32, sums in float32.

    Returns a function that switches between GPUs that are known to round and GPUs that are not.
    """
    matmul = keras.ops.matmul

    def rounding_matmul(a, b):
        return matmul(*(tf.numpy_function(rounded, [x], tf.float32) for x in (a, b)))

    monkeypatch.setattr(numerics.ops, "matmul", rounding_matmul)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    yield tf.config.experimental.enable_tensor_float_32_execution
    tf.config.experimental.enable_tensor_float_32_execution(enabled)


def product_errors(shape_b, rng):
    """Errors of a product and of its gradients, compared with float64."""
    a, b = (rng.normal(size=shape).astype("float32") for shape in ((2, 30, 64), shape_b))
    upstream = rng.normal(size=(2, 30, 5)).astype("float32")
    with tf.GradientTape() as tape:
        factors = [tf.constant(a), tf.constant(b)]
        tape.watch(factors)
        product = numerics.full_matmul(*factors)
        loss = tf.reduce_sum(product * upstream)
    grad_b = np.matmul(np.swapaxes(a, -1, -2).astype("float64"), upstream)
    expected = [
        np.matmul(a.astype("float64"), b.astype("float64")),
        np.matmul(upstream, np.swapaxes(b, -1, -2).astype("float64")),
        grad_b.sum(0) if b.ndim == 2 else grad_b,
    ]
    # `numpy_function`, which simulates rounding without the split, has no gradient.
    gradients = [g for g in tape.gradient(loss, factors) if g is not None]
    pairs = zip([product, *gradients], expected, strict=len(gradients) == 2)
    return [np.abs(one - other).max() for one, other in pairs]


@pytest.mark.parametrize("shape_b", [(64, 5), (2, 64, 5)])
def test_full_matmul_and_its_gradients_keep_full_precision(shape_b, simulated_gpu, rng):
    simulated_gpu(False)
    assert min(product_errors(shape_b, rng)) > 1e-3
    simulated_gpu(True)
    errors = product_errors(shape_b, rng)
    assert len(errors) == 3
    assert max(errors) < 5e-5


def test_encoding_of_pixels_close_to_codewords_keeps_full_precision(simulated_gpu, rng):
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

    simulated_gpu(False)
    assert error() > 1e-3  # of codes of about 0.05
    simulated_gpu(True)
    assert error() < 3e-5
