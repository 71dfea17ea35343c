"""Precision of numerically sensitive arithmetic."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import ArrayLike


def at_least_float32(dtype: str | None = None) -> str:
    """Returns `dtype`, or float32 if `dtype` is of lower precision.

    Codes are sums over pixels, which exceed the range of float16, and logits are exponentiated.
    Both use float32 under `mixed_float16` and `mixed_bfloat16`, and float64 under `float64`.
    `dtype` defaults to the compute dtype of the global policy.

    >>> at_least_float32("bfloat16"), at_least_float32("float64")
    ('float32', 'float64')
    """
    dtype = dtype or keras.config.dtype_policy().compute_dtype
    return keras.backend.result_type(dtype, "float32")


def sigmoid(logits: ArrayLike) -> np.ndarray:
    """Returns the probabilities of logits in float64, without overflow.

    >>> sigmoid([-800.0, 0.0]).tolist()
    [0.0, 0.5]
    """
    return np.exp(-np.logaddexp(0, -np.asarray(logits, "float64")))


def full_matmul(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns the matrix product in the full precision of its dtype, on every device.

    GPUs since Ampere round the factors of float32 products to TF32, which keeps 11 of 24 bits.
    Most computations tolerate this, but it destroys small differences of large sums, such as
    distances expanded into products. On such GPUs, each factor is split into two parts that TF32
    represents exactly, and three products are summed.

    >>> float(full_matmul([[1.0, 2.0]], [[3.0], [4.0]])[0, 0])
    11.0

    Args:
        a: Tensor `(..., n, m)`.
        b: Tensor `(..., m, k)` or `(m, k)`.
    """
    a, b = ops.convert_to_tensor(a), ops.convert_to_tensor(b)
    if a.dtype == tf.float32 and _rounds_to_tf32():
        return _three_products(a, b)
    return ops.matmul(a, b)


def _rounds_to_tf32():
    # Also true on older GPUs, which do not round: there it only costs time.
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    return enabled and bool(tf.config.list_physical_devices("GPU"))


@tf.custom_gradient
def _three_products(a, b):
    def gradient(upstream):
        grad_a = _sum_of_products(upstream, tf.linalg.matrix_transpose(b))
        grad_b = _sum_of_products(tf.linalg.matrix_transpose(a), upstream)
        broadcast = list(range(len(a.shape) - len(b.shape)))
        return grad_a, tf.reduce_sum(grad_b, broadcast) if broadcast else grad_b

    return _sum_of_products(a, b), gradient


def _sum_of_products(a, b):
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    # The fourth product, of both low parts, is below the last bit.
    return ops.matmul(a_high, b_high) + (ops.matmul(a_high, b_low) + ops.matmul(a_low, b_high))


def _split(x):
    """Returns the leading 11 bits of floats and the remainder."""
    leading = tf.bitwise.bitwise_and(tf.bitcast(x, tf.int32), tf.constant(-(1 << 13), tf.int32))
    high = tf.bitcast(leading, tf.float32)
    return high, x - high
