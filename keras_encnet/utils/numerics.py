"""Which precision the sensitive arithmetic runs in."""

import keras
import tensorflow as tf
from keras import ops


def at_least_float32(dtype=None):
    """Returns `dtype` (default: the global policy's compute dtype), raised to float32 if lower.

    Codes are sums over pixels, which pass float16's range, and logits feed
    exponentials: they run in float32 under `mixed_float16` and
    `mixed_bfloat16`, and in float64 where the user asked for that.

    >>> at_least_float32("bfloat16"), at_least_float32("float64")
    ('float32', 'float64')
    """
    dtype = dtype or keras.config.dtype_policy().compute_dtype
    return keras.backend.result_type(dtype, "float32")


def full_matmul(a, b):
    """Returns the product of matrices with all the digits of its dtype, on every device.

    GPUs since Ampere round the factors of float32 products to TF32, which
    keeps 11 bits of 24. Most sums bear it; a small difference of large ones,
    such as a distance that is expanded into products, is lost. There each
    factor is split in two that TF32 holds, and the product in three.

    >>> float(full_matmul([[1.0, 2.0]], [[3.0], [4.0]])[0, 0])
    11.0

    Args:
        a: a tensor `(..., n, m)`.
        b: a tensor `(..., m, k)`, or `(m, k)`.
    """
    a, b = ops.convert_to_tensor(a), ops.convert_to_tensor(b)
    if a.dtype == tf.float32 and _rounds_to_tf32():
        return _three_products(a, b)
    return ops.matmul(a, b)


def _rounds_to_tf32():
    # Off for whoever called `enable_tensor_float_32_execution(False)`; older GPUs just lose time.
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    return enabled and bool(tf.config.list_physical_devices("GPU"))


@tf.custom_gradient
def _three_products(a, b):
    def gradient(upstream):
        of_a = _sum_of_products(upstream, tf.linalg.matrix_transpose(b))
        of_b = _sum_of_products(tf.linalg.matrix_transpose(a), upstream)
        broadcast = list(range(len(a.shape) - len(b.shape)))
        return of_a, tf.reduce_sum(of_b, broadcast) if broadcast else of_b

    return _sum_of_products(a, b), gradient


def _sum_of_products(a, b):
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    # The fourth, of both low parts, is below the last digit.
    return ops.matmul(a_high, b_high) + (ops.matmul(a_high, b_low) + ops.matmul(a_low, b_high))


def _split(x):
    """Returns the leading 11 bits of floats, and the rest."""
    leading = tf.bitwise.bitwise_and(tf.bitcast(x, tf.int32), tf.constant(-(1 << 13), tf.int32))
    high = tf.bitcast(leading, tf.float32)
    return high, x - high
