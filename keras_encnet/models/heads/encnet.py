"""The head of EncNet, around the Context Encoding Module, and its auxiliary branch."""

from collections.abc import Mapping
from types import SimpleNamespace

import keras
from keras import initializers, layers

from keras_encnet.layers import BatchNormalization, Encoding, FeatureMapAttention
from keras_encnet.models.heads.blocks import classify, conv_norm_relu
from keras_encnet.utils.checks import check_one_size, check_stages
from keras_encnet.utils.numerics import at_least_float32


def encnet_head(
    images: keras.KerasTensor,
    stages: Mapping[str, keras.KerasTensor],
    classes: int,
    options: SimpleNamespace,
) -> dict[str, keras.KerasTensor]:
    """Features gated by their own context code; returns `segmentation` and `presence`."""
    kernel_size = 3 if options.neck == "none" else options.head_kernel
    x = conv_norm_relu(stages["stage4"], options.channels, kernel_size, name="head")
    if options.lateral:
        x = _join_laterals(x, images, stages)
    code = context_code(
        x, options.num_codewords, options.aggregation, options.codeword_pooling, name="context"
    )
    x = FeatureMapAttention(
        options.gating,
        kernel_initializer=_initializer(options),
        bias_initializer=initializers.Constant(options.gate_bias),
        name="context_attention",
    )(x, code)
    return {
        "segmentation": classify(x, images, classes, options, name="segmentation"),
        "presence": _presence(code, classes, options, name="presence"),
    }


def context_auxiliary(
    images: keras.KerasTensor,
    stages: Mapping[str, keras.KerasTensor],
    classes: int,
    options: SimpleNamespace,
) -> dict[str, keras.KerasTensor]:
    """A second Context Encoding Module, on stage 3; returns `presence_stage3`."""
    x = conv_norm_relu(stages["stage3"], options.channels, 3, name="stage3_head")
    code = context_code(
        x,
        options.num_codewords,
        options.aggregation,
        options.codeword_pooling,
        name="stage3_context",
    )
    return {"presence_stage3": _presence(code, classes, options, name="presence_stage3")}


def context_code(
    x: keras.KerasTensor, num_codewords: int, aggregation: str, codeword_pooling: str, name: str
) -> keras.KerasTensor:
    """The Context Encoding Module up to its code.

    The 1x1 projection before Encoding is not in the paper's text; the official code has had it
    since June 2018.

    Args:
        x: features, `(batch, height, width, channels)`.
        num_codewords: 0 for global average pooling instead of Encoding.
        aggregation: see `Encoding`.
        codeword_pooling: `"sum"` or `"mean"` over the codes of all codewords.
        name: prefix of the names of the layers.

    Returns:
        The code, `(batch, channels)`, float32.
    """
    dtype = at_least_float32()
    # Gates depend on small differences of large sums, which rounding to float16 would change.
    x = conv_norm_relu(x, x.shape[-1], 1, name=f"{name}_projection", dtype=dtype)
    if num_codewords == 0:
        return layers.GlobalAveragePooling2D(dtype=dtype, name=f"{name}_pool")(x)
    codes = Encoding(num_codewords, aggregation=aggregation, name=f"{name}_encoding")(x)
    # Axis 1: one mean and variance per codeword.
    codes = BatchNormalization(axis=1, momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_bn")(
        codes
    )
    codes = layers.ReLU(dtype=dtype, name=f"{name}_relu")(codes)
    code = layers.GlobalAveragePooling1D(dtype=dtype, name=f"{name}_mean")(codes)
    if codeword_pooling == "sum":
        code = layers.Rescaling(float(num_codewords), dtype=dtype, name=f"{name}_sum")(code)
    return code


def _initializer(options):
    # A sum over codewords is large: random kernels would start with large losses, and with gates
    # open or closed by chance.
    is_sum = options.num_codewords > 0 and options.codeword_pooling == "sum"
    return "zeros" if is_sum else "glorot_uniform"


def _presence(code, classes, options, name):
    return layers.Dense(
        classes, kernel_initializer=_initializer(options), dtype=at_least_float32(), name=name
    )(code)


def _join_laterals(x, images, stages):
    check_stages(stages, ("stage2", "stage3", "stage4"))
    check_one_size(images, {stage: stages[stage] for stage in ("stage2", "stage3", "stage4")})
    laterals = [
        conv_norm_relu(stages[stage], x.shape[-1], 1, name=f"lateral_{stage}")
        for stage in ("stage2", "stage3")
    ]
    x_all = layers.Concatenate(name="fusion_concat")([x, *laterals])
    return conv_norm_relu(x_all, x.shape[-1], 3, name="fusion")
