"""Whether layers have changed since a graph of them was traced."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np


class LayerState:
    """What a traced graph of layers depends on, except for the values of variables.

    Two states are equal if all attributes of the layers are the same objects, with the same
    elements if they are collections and the same numbers if they are arrays.
    """

    def __init__(self, layers: Iterable[keras.layers.Layer]):
        # The objects are kept, so that none of their ids is reused.
        self.objects = [x for layer in layers for x in (layer, type(layer), *_parts(vars(layer)))]
        self.ids = [*map(id, self.objects)]
        self.numbers = [x.tobytes() for x in self.objects if isinstance(x, np.ndarray)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LayerState) and (self.ids, self.numbers) == (
            other.ids,
            other.numbers,
        )


def _parts(attributes):
    for name, value in attributes.items():
        yield from (name, value)
        if isinstance(value, dict):
            yield from (*value.keys(), *value.values())
        elif isinstance(value, list | tuple | set):
            yield from value
