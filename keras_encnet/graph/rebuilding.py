"""Rebuilding of functional models with changed or omitted layers."""

import inspect
from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np

from keras_encnet.utils import compat

# The weights to which `enable_lora` adds a product of two smaller ones.
LORA_TARGETS = ("kernel", "embeddings")
# The quantizations whose weights a layer that is created from a config can load.
COPIED_QUANTIZATIONS = ("int8", "int4")


def copy_of(layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
    """Returns an unbuilt copy of a layer with changes to its config, and without LoRA."""
    config = {**layer.get_config(), **changes}
    if getattr(layer, "lora_enabled", False):
        config = {key: value for key, value in config.items() if not key.startswith("lora_")}
    return layer.__class__.from_config(config)


def weights_of(layer: keras.layers.Layer) -> list[np.ndarray]:
    """Returns the weights of a layer as arrays, with those of LoRA merged into the kernel."""
    if not getattr(layer, "lora_enabled", False):
        return layer.get_weights()
    weights = [weight for weight in layer.weights if not weight.name.startswith("lora_")]
    # The property of this name is the merged kernel.
    merged = [getattr(layer, w.name) if w.name in LORA_TARGETS else w for w in weights]
    return [np.asarray(weight) for weight in merged]


def rebuild(
    model: keras.Model,
    copy: Callable[[keras.layers.Layer], keras.layers.Layer] = copy_of,
    weights: Callable[[keras.layers.Layer], list[np.ndarray]] = weights_of,
    omitted: Collection[str] = (),
    images: keras.KerasTensor | None = None,
) -> keras.Model:
    """Rebuilds a functional model with new layers and weights.

    Args:
        model: a functional model. It is not changed.
        copy: function from a layer to the unbuilt layer that replaces it.
        weights: function from a layer to the weights of the layer that replaces it.
        omitted: names of layers to omit. Each must have one input, which takes the place of its
            output.
        images: the input of the new model, by default one like that of `model`.

    Returns:
        A model of the class of `model`.

    Raises:
        ValueError: if `model` is not functional, or has layers of an unknown quantization.
    """
    check_functional(model)
    unknown = {k: v for k, v in quantized_layers(model).items() if v not in COPIED_QUANTIZATIONS}
    if unknown:
        raise ValueError(
            "Layers quantized in this mode cannot be copied with their weights: use the model "
            f"before `quantize`. Received: layers={unknown}"
        )
    copies = {}

    def clone(layer):
        if not isinstance(layer, keras.layers.Layer):
            return copy_of(layer)  # an operation such as the sum of two tensors
        if layer.name not in omitted:
            copies[layer.name] = layer, copy(layer)
            return copies[layer.name][1]
        return layer

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in omitted else layer(*args, **kwargs)

    new = keras.models.clone_model(model, images, clone_function=clone, call_function=call)
    for old_layer, new_layer in copies.values():
        new_layer.set_weights(weights(old_layer))
        if isinstance(new_layer, keras.layers.Normalization):
            new_layer.finalize_state()  # which Keras only does when it loads weights from a file
    return _of_class(model, new)


def quantized_layers(model: keras.Model) -> dict[str, str]:
    """Returns the mode of `quantize` by the name of each layer that it has changed."""
    modes = {layer.name: getattr(layer, "quantization_mode", None) for layer in model.layers}
    return {name: mode for name, mode in modes.items() if mode is not None}


def check_functional(model: keras.Model) -> None:
    """Raises ValueError unless `model` is a functional model."""
    if not compat.is_functional(model):
        raise ValueError(
            f"The model must be functional. Received: model of class {type(model).__name__}"
        )


def calls(model: keras.Model) -> list:
    """Returns the nodes of the graph of a functional model, one per call of a layer."""
    check_functional(model)
    return compat.graph_nodes(model)


def _of_class(model, new):
    """Returns `new`, a plain functional model, with the class and the attributes of `model`."""
    parameters = inspect.signature(type(model).__init__).parameters
    own = {
        name: value
        for name, value in model.get_config().items()
        if name in parameters and parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    }
    if "backbone_layers" in own:
        names = {layer.name for layer in new.layers}
        own["backbone_layers"] = [name for name in own["backbone_layers"] if name in names]
    return type(model)(new.input, new.output, name=model.name, **own)
