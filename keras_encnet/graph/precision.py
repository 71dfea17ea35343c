"""A model whose feature maps are bfloat16 and whose codes, gates and logits stay float32."""

import collections

from keras_encnet.graph.rebuilding import calls, copy_of, rebuild
from keras_encnet.layers import Encoding
from keras_encnet.utils.compat import producer_of

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def with_precision(model, precision):
    """Returns the model with its convolutions in another precision, whatever it was trained in.

    Under `"bfloat16"` feature maps are bfloat16. What has no spatial axes
    (codes, presence), and the last convolution before an Encoding or an
    output, with what is between, stays in float32, as the builders have it
    under `mixed_bfloat16`. Weights are stored in float32.

    Args:
        model: a functional model. It is not changed.
        precision: `"float32"` or `"bfloat16"`. The latter pays on CPUs with
            AVX512-BF16 or AMX and on GPUs from Ampere on.

    Raises:
        ValueError: for another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {sorted(PRECISIONS)}. Received: precision={precision!r}"
        )
    sensitive = _sensitive(model)

    def copy(layer):
        policy = "float32" if layer.name in sensitive else PRECISIONS[precision]
        return copy_of(layer, dtype=policy)

    return rebuild(model, copy)


def _sensitive(model):
    """Names the layers that stay in float32."""
    producers = collections.defaultdict(list)
    sensitive, ends = set(), {producer_of(x) for x in model.outputs}
    for node in calls(model):
        layer = node.operation
        producers[layer.name] += [producer_of(x) for x in node.input_tensors]
        if any(len(x.shape) != 4 for x in node.outputs):
            sensitive.add(layer.name)
        if isinstance(layer, Encoding):
            ends.add(layer)
    # From each end back to the first layer with a kernel.
    back = [layer for layer in ends if not hasattr(layer, "kernel")]
    sensitive |= {layer.name for layer in ends}
    while back:
        for layer in producers[back.pop().name]:
            if layer.name not in sensitive and not hasattr(layer, "kernel"):
                back.append(layer)
            sensitive.add(layer.name)
    return sensitive
