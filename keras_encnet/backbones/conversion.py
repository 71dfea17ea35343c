"""Conversion of other models: their stages, and layers of this package in place of theirs."""

import collections
import functools
import re
from collections.abc import Collection, Mapping, Sequence

import keras
import numpy as np

from keras_encnet.backbones.stages import STRIDES, find_stages
from keras_encnet.graph.channels import RGB, fitted, image_convolutions
from keras_encnet.graph.rebuilding import calls, copy_of, rebuild, weights_of
from keras_encnet.layers import BatchNormalization
from keras_encnet.layers.image_normalization import KERAS_NORMALIZATIONS
from keras_encnet.preprocessing import for_channels
from keras_encnet.utils.compat import run_graph

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
_POOLINGS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


def convert(
    network: keras.Model,
    classifies: bool,
    images: keras.KerasTensor | None = None,
    omitted: Collection[str] = (),
) -> keras.Model:
    """Returns a copy of a model to its stages, with layers of this package in it.

    Args:
        network: a functional model. It is not changed, and returned if there is nothing to do.
        classifies: whether it is a network for classification, whose padding becomes "same" and
            whose layers are numbered from 0, see `as_backbone`.
        images: the input of the copy, by default one of the same shape.
        omitted: names of layers to leave out.
    """
    channels = (network.inputs[0] if images is None else images).shape[-1]
    first = image_convolutions(network)
    windows, paddings = _same_padding(network) if classifies else (set(), set())
    names = _numbered(network.layers) if classifies else {}
    if images is None and not (windows or any(map(_is_foreign, network.layers))):
        return network

    def copy(layer):
        changes = {"name": names.get(layer.name, layer.name)}
        if layer.name in windows:
            changes["padding"] = "same"
        if isinstance(layer, KERAS_NORMALIZATIONS):
            changes["dtype"] = "float32"  # bfloat16 would round the values of images
        if _is_batch_normalization(layer):
            return BatchNormalization.from_config({**layer.get_config(), **changes})
        if _is_depthwise(layer):
            return _depthwise(layer, changes)
        if _is_normalization(layer):
            return _rescaling(layer, changes, channels)
        if type(layer) is keras.layers.Rescaling:
            changes |= {k: _per_channel(getattr(layer, k), channels) for k in ("scale", "offset")}
        return copy_of(layer, **changes)

    def weights(layer):
        values = [] if _is_normalization(layer) else weights_of(layer)
        if layer.name in first:
            return fitted(values, (*layer.kernel_size, channels, layer.filters))
        return [np.swapaxes(values[0], 2, 3), *values[1:]] if _is_depthwise(layer) else values

    return rebuild(network, copy, weights, omitted={*paddings, *omitted}, images=images)


def is_classifier(model: keras.Model) -> bool:
    """Returns whether a backbone does not name its stages, so that they have to be found."""
    named = isinstance(model.output, Mapping) or len(_pyramid(model)) >= len(STRIDES)
    return not named and not set(STRIDES) <= set(_outputs(model))


def with_stages(model: keras.Model, names: Sequence[str] | None) -> keras.Model:
    """Returns a functional model as one to its stages, those with these names if given."""
    if names is None and isinstance(model.output, Mapping):
        return model
    if names is None and len(_pyramid(model)) >= len(STRIDES):
        stages = dict(zip(STRIDES, _pyramid(model)[-len(STRIDES) :], strict=True))
        return keras.Model(model.inputs[0], stages, name=model.name)
    if names is None and is_classifier(model):
        return classifier_stages(model)
    names, outputs = names or tuple(STRIDES), _outputs(model)
    if len(names) != len(STRIDES) or not set(names) <= set(outputs):
        raise ValueError(
            "`layers` must be the names of four layers of the model, from the highest resolution "
            f"to the lowest. Received: layers={names}, backbone={model.name!r} with the layers "
            f"{', '.join(outputs)}"
        )
    stages = dict(zip(STRIDES, (outputs[name] for name in names), strict=True))
    return keras.Model(model.inputs[0], stages, name=model.name)


def _pyramid(model):
    """Returns the features of a backbone of keras-hub; the last four have the strides 4 to 32."""
    outputs = getattr(model, "pyramid_outputs", {})
    return [outputs[name] for name in sorted(outputs)]


def _outputs(model):
    return {node.operation.name: node.outputs[0] for node in calls(model)}


def classifier_stages(model: keras.Model) -> keras.Model:
    """Returns a network for classification as a model to its stages, see `find_stages`."""
    nested = [layer for layer in model.layers if isinstance(layer, keras.Sequential)]
    if nested:  # as in ConvNeXt, whose stages end within
        images = keras.Input(batch_shape=model.inputs[0].shape, name=model.inputs[0].name)
        model = keras.Model(images, run_graph(model, images, _in_line), name=model.name)
    return keras.Model(model.inputs[0], find_stages(model), name=model.name)


def _in_line(layer):
    """Returns a layer, or in place of a `Sequential` the function that calls its layers."""
    if isinstance(layer, keras.Sequential):
        return lambda x, **_: functools.reduce(lambda y, inner: inner(y), layer.layers, x)
    return layer


def _same_padding(model):
    """Returns the names of the layers to pad as "same", and of the paddings to leave out for it.

    Keras Applications pad some strided convolutions by a layer of their own. Unless the size is
    known, it is right for even sizes only; where it equals "same" padding for these, the latter
    replaces it. Those of ResNet and DenseNet, which pad both sides alike, stay.
    """
    nodes = calls(model)
    consumers = collections.defaultdict(list)
    for node in nodes:
        for x in node.input_tensors:
            consumers[id(x)].append(node)
    windows, paddings, kept = set(), set(), set()
    for node in nodes:
        layer = node.operation
        if not isinstance(layer, keras.layers.ZeroPadding2D):
            continue
        size = node.input_tensors[0].shape[1:3]
        users = consumers[id(node.outputs[0])]
        if all(_is_window(n.operation) and _pads_alike(layer, n.operation, size) for n in users):
            paddings.add(layer.name)
        else:
            kept |= {n.operation.name for n in users}
    for node in nodes:
        if _is_window(node.operation) and node.operation.name not in kept:
            windows.add(node.operation.name)
    return windows, paddings


def _is_window(layer):
    """Returns whether a layer has "valid" windows of several pixels, other than over all pixels."""
    valid = isinstance(layer, (*_CONVOLUTIONS, *_POOLINGS)) and layer.padding == "valid"
    return valid and max(_window(layer)) > 1


def _window(layer):
    return layer.pool_size if isinstance(layer, _POOLINGS) else layer.kernel_size


def _pads_alike(padding, layer, size):
    """Returns whether a `ZeroPadding2D` pads images of this size as "same" would in `layer`."""

    def same(length, window, stride):
        length = length or 512  # any even number
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        return total // 2, total - total // 2

    expected = map(same, size, _window(layer), layer.strides)
    return tuple(map(tuple, padding.padding)) == tuple(expected)


def _numbered(named):
    """Returns new names for layers with weights that Keras has named, from 0 in each model.

    Keras counts the layers of the process, so that names would depend on what was built before.
    """
    names, counts = {}, collections.Counter()
    for layer in named:
        kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", type(layer).__name__).lower()
        if layer.weights and re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            names[layer.name] = f"{kind}_{counts[kind]}" if counts[kind] else kind
            counts[kind] += 1
    return names


def _is_foreign(layer):
    """Returns whether a layer of this package, or a faster one of Keras, takes its place."""
    return _is_batch_normalization(layer) or _is_depthwise(layer) or _is_normalization(layer)


def _is_batch_normalization(layer):
    return type(layer) is keras.layers.BatchNormalization


def _is_depthwise(layer):
    """Returns whether a convolution has one group per channel, as those of ConvNeXt."""
    plain = type(layer) is keras.layers.Conv2D and layer.built
    return plain and 1 < layer.groups == layer.filters == layer.input_spec.axes[-1]


def _depthwise(layer, changes):
    config = {**layer.get_config(), **changes}
    shared = ("name", "trainable", "dtype", "kernel_size", "strides", "padding", "dilation_rate")
    config = {key: config[key] for key in (*shared, "activation", "use_bias")}
    return keras.layers.DepthwiseConv2D.from_config(
        {**config, "depthwise_initializer": layer.kernel_initializer}
    )


def _is_normalization(layer):
    """Returns whether a layer normalizes channels by constants, or by statistics of its own."""
    return type(layer) is keras.layers.Normalization and len(layer.axis) == 1 and not layer.invert


def _rescaling(layer, changes, channels):
    """Returns the same arithmetic with constants in the graph, which tf2onnx can convert."""
    mean, variance = (np.ravel(x).astype("float64") for x in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    scale, offset = ((x / deviation).tolist() for x in (1, -mean))
    return keras.layers.Rescaling(
        _per_channel(scale, channels), _per_channel(offset, channels), **changes
    )


def _per_channel(values, channels):
    """Returns constants of a normalization for images with another number of channels."""
    is_for_rgb = np.size(values) == RGB != channels
    return for_channels(values, channels).tolist() if is_for_rgb else values
