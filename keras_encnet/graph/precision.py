"""Models with bfloat16 feature maps and float32 codes, gates and logits."""

import collections
from collections.abc import Callable

import keras

from keras_encnet.graph.rebuilding import calls, copy_of, rebuild
from keras_encnet.layers import (
    AdaptiveAveragePooling,
    BilinearUpsampling,
    Encoding,
    FeatureMapAttention,
    ImageNormalization,
)
from keras_encnet.layers.image_normalization import KERAS_NORMALIZATIONS
from keras_encnet.utils.compat import producer_of

NORMALIZATIONS = (ImageNormalization, *KERAS_NORMALIZATIONS)
# Layers with quantities that 256 levels represent too coarsely: coordinates, sums over pixels.
NO_INTEGERS = (
    AdaptiveAveragePooling,
    BilinearUpsampling,
    FeatureMapAttention,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def with_precision(model: keras.Model, precision: str) -> keras.Model:
    """Returns a copy of a model that computes its feature maps in the given precision.

    With `"bfloat16"`, tensors without spatial axes (codes, presence) stay in float32, and so do
    the layers from the last convolution before an Encoding or an output, as in models built under
    the policy `mixed_bfloat16`, and the normalization of raw images. Weights are stored in float32.

    Args:
        model: a functional model. It is not changed.
        precision: `"float32"` or `"bfloat16"`. bfloat16 is faster on CPUs with AVX512-BF16 or AMX
            and on GPUs from Ampere on, and slower on other CPUs.

    Raises:
        ValueError: for another precision, or if `model` is not functional.
    """
    return rebuild(model, copies_with_precision(model, precision))


def copies_with_precision(
    model: keras.Model, precision: str
) -> Callable[[keras.layers.Layer], keras.layers.Layer]:
    """Returns the function that copies the layers of `model` in this precision, for `rebuild`.

    See `with_precision`. It allows further changes to the same copies.

    Raises:
        ValueError: for the reasons of `with_precision`.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {sorted(PRECISIONS)}. Received: precision={precision!r}"
        )
    sensitive = _sensitive(model)

    def copy(layer):
        if getattr(layer, "quantization_mode", None) is not None:
            return copy_of(layer)  # which has a policy of its own
        policy = "float32" if layer.name in sensitive else PRECISIONS[precision]
        return copy_of(layer, dtype=policy)

    return copy


def integer_sensitive(model: keras.Model) -> set[str]:
    """Returns the names of the layers that stay in float32 where others compute with integers.

    These are the layers that `with_precision` leaves in float32, and those that sum over pixels or
    derive gates from such sums.
    """
    others = {layer.name for layer in model.layers if isinstance(layer, NO_INTEGERS)}
    return _sensitive(model) | others


def _sensitive(model):
    """Returns the names of the layers that stay in float32."""
    producers = collections.defaultdict(list)
    sensitive, ends = set(), {producer_of(x) for x in model.outputs}
    for node in calls(model):
        layer = node.operation
        producers[layer.name] += [producer_of(x) for x in node.input_tensors]
        if any(len(x.shape) != 4 for x in node.outputs) or isinstance(layer, NORMALIZATIONS):
            sensitive.add(layer.name)
        if isinstance(layer, Encoding):
            ends.add(layer)
    # From each end backwards to the first layer with a kernel.
    pending = [layer for layer in ends if not hasattr(layer, "kernel")]
    sensitive |= {layer.name for layer in ends}
    while pending:
        for layer in producers[pending.pop().name]:
            if layer.name not in sensitive and not hasattr(layer, "kernel"):
                pending.append(layer)
            sensitive.add(layer.name)
    return sensitive
