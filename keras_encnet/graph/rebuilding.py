"""Rebuilding of functional models with changed or omitted layers."""

import inspect
from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np

from keras_encnet.utils import compat


def copy_of(layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
    """Returns an unbuilt copy of a layer with changes to its config."""
    return layer.__class__.from_config({**layer.get_config(), **changes})


def weights_of(layer: keras.layers.Layer) -> list[np.ndarray]:
    """Returns the weights of a layer as arrays."""
    return layer.get_weights()


def rebuild(
    model: keras.Model,
    copy: Callable[[keras.layers.Layer], keras.layers.Layer] = copy_of,
    weights: Callable[[keras.layers.Layer], list[np.ndarray]] = weights_of,
    omitted: Collection[str] = (),
) -> keras.Model:
    """Rebuilds a functional model with new layers and weights.

    Args:
        model: a functional model. It is not changed.
        copy: function from a layer to the unbuilt layer that replaces it.
        weights: function from a layer to the weights of the layer that replaces it.
        omitted: names of layers to omit. Each must have one input, which takes the place of its
            output.

    Returns:
        A model of the class of `model`.

    Raises:
        ValueError: if `model` is not functional.
    """
    check_functional(model)
    copies = {}

    def clone(layer):
        if layer.name not in omitted:
            copies[layer.name] = layer, copy(layer)
            return copies[layer.name][1]
        return layer

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in omitted else layer(*args, **kwargs)

    new = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for old_layer, new_layer in copies.values():
        new_layer.set_weights(weights(old_layer))
    return _of_class(model, new)


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
