"""Receptive fields of convolutional outputs."""

import keras

from keras_encnet.layers import BilinearUpsampling
from keras_encnet.utils.compat import producer_of


def receptive_field(model: keras.Model, layer: str) -> int:
    """Returns the side of the square of input pixels that a value of a layer's output depends on.

    Convolutions, pooling and resizing count. Layers that aggregate the full image, such as
    Encoding, are ignored.

    Args:
        model: a functional model.
        layer: name of one of its layers.
    """
    field, _ = _field_and_stride(model.get_layer(layer), {})
    return field


def _field_and_stride(layer, known):
    """Returns the receptive field of a layer's output, and its stride in pixels of the input."""
    if layer.name in known:
        return known[layer.name]
    inputs = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
    parents = [producer_of(tensor) for tensor in inputs]
    before = [_field_and_stride(parent, known) for parent in parents if parent is not layer]
    field, stride = max(before, default=(1, 1))
    if isinstance(layer, BilinearUpsampling):
        (field, stride), (_, target) = before
        known[layer.name] = field + stride, target  # two neighbors are interpolated
        return known[layer.name]
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
        reach, step = (layer.kernel_size[0] - 1) * layer.dilation_rate[0], layer.strides[0]
    elif isinstance(layer, keras.layers.MaxPooling2D):
        reach, step = layer.pool_size[0] - 1, layer.strides[0]
    else:
        reach, step = 0, 1
    known[layer.name] = field + reach * stride, stride * step
    return known[layer.name]
