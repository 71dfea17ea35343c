"""A functional model built again from its layers, some of them changed or left out."""

import inspect

import keras

from keras_encnet.utils import compat


def copy_of(layer, **changes):
    """Returns a copy of `layer`, not built yet, that differs in these entries of its config."""
    return layer.__class__.from_config({**layer.get_config(), **changes})


def weights_of(layer):
    """Returns the weights of `layer` as a list of arrays."""
    return layer.get_weights()


def rebuild(model, copy=copy_of, weights=weights_of, left_out=()):
    """Builds `model` again, with layers and weights of its own.

    Args:
        model: a functional model. It is not changed.
        copy: function from a layer to the one in its place, not built yet.
        weights: function from a layer to the arrays of the one in its place.
        left_out: names of layers, each of one input, which then goes on.

    Returns:
        A model of the class of `model`.

    Raises:
        ValueError: if `model` isn't functional.
    """
    check_functional(model)
    copies = {}

    def clone(layer):
        if layer.name not in left_out:
            copies[layer.name] = layer, copy(layer)
            return copies[layer.name][1]
        return layer

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in left_out else layer(*args, **kwargs)

    new = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for old_layer, new_layer in copies.values():
        new_layer.set_weights(weights(old_layer))
    return _of_class(model, new)


def check_functional(model):
    """Raises ValueError unless `model` is a functional model."""
    if not compat.is_functional(model):
        raise ValueError(
            "Only a functional model can be rebuilt from its layers. "
            f"Received: model of class {type(model).__name__}"
        )


def calls(model):
    """Returns the nodes of the graph of `model`: one for each call of a layer."""
    check_functional(model)
    return compat.graph_nodes(model)


def _of_class(model, new):
    """Gives `new`, which Keras makes a `Functional`, the class of `model` and what it remembers."""
    parameters = inspect.signature(type(model).__init__).parameters
    own = {
        name: value
        for name, value in model.get_config().items()
        if name in parameters and parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    }
    if "backbone_layers" in own:
        there = {layer.name for layer in new.layers}
        own["backbone_layers"] = [name for name in own["backbone_layers"] if name in there]
    return type(model)(new.input, new.output, name=model.name, **own)
