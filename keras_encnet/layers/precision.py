"""Which precision the sensitive arithmetic runs in."""

import keras


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
