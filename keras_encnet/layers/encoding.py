"""The Encoding layer of Deep TEN and EncNet."""

import math
from typing import Any

import keras
from keras import ops

from keras_encnet.utils.checks import check_count
from keras_encnet.utils.numerics import at_least_float32, full_matmul

AGGREGATIONS = ("sum", "mean")


@keras.saving.register_keras_serializable(package="keras_encnet")
class Encoding(keras.layers.Layer):
    """Encodes an image as sums of residuals between its pixels and learned codewords.

    With pixels `x_i`, codewords `d_k` and smoothing factors `s_k`:

        a_ik = softmax over k of (scale_k * |x_i - d_k|^2)      assignment
        e_k  = sum over i of a_ik * (x_i - d_k)                 code

    As in the official code, the weight `scale` is `-s_k`, is initialized in
    -1 to 0, and is not constrained to stay negative. Distances and codes are
    computed by matrix products, `|x|^2 - 2 x.d + |d|^2` and `A'X - (sum_i a_ik)
    d_k`; the tensor of all residuals, `(batch, pixels, codewords, channels)`,
    is never built.

    In its published form, the layer depends on sizes. Squared distances grow
    with the number of channels: at 512 they are near 256, and one codeword
    takes nearly all pixels from the start. Codes grow with the number of
    pixels, so statistics learned from crops do not fit larger images. With
    `aggregation="mean"`, both are means, over channels and over pixels.

    The layer computes and returns float32 (float64 under that policy), even
    under mixed precision, since sums over pixels can exceed the range of
    float16. Its matrix products do not use TF32 on GPUs: both differences above
    can be much smaller than their terms.

    Example:

    >>> import numpy as np
    >>> Encoding(num_codewords=32)(np.ones((2, 60, 60, 512))).shape
    TensorShape([2, 32, 512])

    Args:
        num_codewords: number of codewords, K, at least 1.
        stochastic_scale: if true, training replaces `scale` by random values
            from U(-1, 0), drawn once per batch, and inference by -0.5; the
            stored `scale` is not trainable. This is the regularization of the
            CIFAR-10 experiment (`EncodingDrop` in the official code).
        aggregation: `"sum"`, as published, or `"mean"`: codes are means over
            pixels, and squared distances means over channels.
        codewords_initializer: by default U(-1, 1) / sqrt(K * channels).
        scale_initializer: by default U(-1, 0).
        seed: seed of the stochastic scale.

    Input shape:
        `(batch, height, width, channels)` or `(batch, pixels, channels)`.
        Only `channels` must be known.

    Output shape:
        `(batch, num_codewords, channels)`; zeros for an image without pixels.

    Raises:
        ValueError: for a `num_codewords` below 1, an unknown `aggregation`, or
            an input of another rank or with unknown channels.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904), 3.1
        - [Deep TEN: Texture Encoding Network](https://arxiv.org/abs/1612.02844)
    """

    def __init__(
        self,
        num_codewords: int,
        stochastic_scale: bool = False,
        aggregation: str = "sum",
        codewords_initializer: Any = None,
        scale_initializer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_count("num_codewords", num_codewords)
        if aggregation not in AGGREGATIONS:
            raise ValueError(
                f"`aggregation` must be one of {AGGREGATIONS}. "
                f"Received: aggregation={aggregation!r}"
            )
        # No autocast: an input cast to float16 would lose the precision that the float32 arithmetic
        # below preserves.
        super().__init__(autocast=False, **kwargs)
        self.num_codewords = int(num_codewords)
        self.stochastic_scale = stochastic_scale
        self.aggregation = aggregation
        self.codewords_initializer = keras.initializers.get(codewords_initializer)
        self.scale_initializer = keras.initializers.get(scale_initializer)
        self.seed = seed
        if stochastic_scale:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        if len(input_shape) not in (3, 4) or input_shape[-1] is None:
            raise ValueError(
                "Expected `(batch, height, width, channels)` or `(batch, pixels, channels)` "
                f"with known channels. Received: input_shape={tuple(input_shape)}"
            )
        channels = input_shape[-1]
        bound = (self.num_codewords * channels) ** -0.5
        self.codewords = self.add_weight(
            name="codewords",
            shape=(self.num_codewords, channels),
            initializer=self.codewords_initializer
            or keras.initializers.RandomUniform(-bound, bound),
            autocast=False,
        )
        self.scale = self.add_weight(
            name="scale",
            shape=(self.num_codewords,),
            initializer=self.scale_initializer or keras.initializers.RandomUniform(-1.0, 0.0),
            autocast=False,
            trainable=not self.stochastic_scale,
        )
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: channels})

    def call(self, x, training=False):
        x, codewords, scale = self._pixels(x, training)
        assignment = self._assign(x, codewords, scale)
        mass = ops.expand_dims(ops.sum(assignment, axis=1), -1)
        code = full_matmul(ops.swapaxes(assignment, 1, 2), x) - mass * codewords
        if self.aggregation == "mean":
            code /= ops.cast(ops.maximum(ops.shape(x)[1], 1), code.dtype)
        return code

    def assignment(self, x: Any) -> Any:
        """Returns the weights of the codewords for each pixel, `(batch, pixels, codewords)`."""
        return self._assign(*self._pixels(x, training=False))

    def _pixels(self, x, training):
        dtype = at_least_float32(self.compute_dtype)
        x = ops.cast(x, dtype)
        batch, *sizes, channels = ops.shape(x)
        # Not -1, which is ambiguous if the batch is empty.
        x = ops.reshape(x, (batch, math.prod(sizes), channels))
        scale = ops.cast(self.scale, dtype)
        if self.stochastic_scale:
            if training:
                scale = keras.random.uniform(
                    (self.num_codewords,), -1.0, 0.0, dtype=dtype, seed=self.seed_generator
                )
            else:
                scale = ops.full_like(scale, -0.5)
        return x, ops.cast(self.codewords, dtype), scale

    def _assign(self, x, codewords, scale):
        distance = (
            ops.sum(ops.square(x), axis=-1, keepdims=True)
            - 2 * full_matmul(x, ops.transpose(codewords))
            + ops.sum(ops.square(codewords), axis=-1)
        )
        if self.aggregation == "mean":
            distance /= x.shape[-1]
        # Rounding can make a distance slightly negative.
        return ops.softmax(scale * ops.maximum(distance, 0), axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_codewords, input_shape[-1])

    def compute_output_spec(self, x, training=False):
        return keras.KerasTensor(
            self.compute_output_shape(x.shape), dtype=at_least_float32(self.compute_dtype)
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_codewords": self.num_codewords,
            "stochastic_scale": self.stochastic_scale,
            "aggregation": self.aggregation,
            "codewords_initializer": keras.initializers.serialize(self.codewords_initializer),
            "scale_initializer": keras.initializers.serialize(self.scale_initializer),
            "seed": self.seed,
        }
