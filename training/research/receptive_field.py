"""How much of an image a convolutional output depends on."""

import keras

from keras_encnet.utils.compat import producer_of


def receptive_field(model, layer):
    """Returns the side, in pixels of the input, of the square that one value of `layer` sees.

    Convolutions and pooling only: a layer that sums over the whole image sees
    all of it, and isn't counted here.

    Args:
        model: a functional model.
        layer: name of a layer of it.
    """
    field, _ = _field_and_step(model.get_layer(layer), {})
    return field


def _field_and_step(layer, known):
    """Returns the field of a layer's output and the pixels from one value to the next."""
    if layer.name in known:
        return known[layer.name]
    inputs = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    parents = [producer_of(tensor) for tensor in inputs]
    parents = [parent for parent in parents if parent is not layer]
    before = [_field_and_step(parent, known) for parent in parents] or [(1, 1)]
    field, step = max(before)
    if isinstance(layer, keras.layers.Conv2D):
        reach, stride = (layer.kernel_size[0] - 1) * layer.dilation_rate[0], layer.strides[0]
    elif isinstance(layer, keras.layers.MaxPooling2D):
        reach, stride = layer.pool_size[0] - 1, layer.strides[0]
    else:
        reach, stride = 0, 1
    known[layer.name] = field + reach * step, step * stride
    return known[layer.name]
