"""Folding of batch normalization, for inference, into convolutions or into a multiply-add."""

import collections
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from keras_encnet.graph.rebuilding import calls, copy_of, rebuild, weights_of
from keras_encnet.layers import BatchNormalization, DilatedConv2D
from keras_encnet.utils import compat

# Linear layers with one bias per output channel. The output channels are the last kernel axes.
LINEAR = (
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
    layers.Dense,
)
# The convolutions and batch normalizations whose arithmetic `run_folded` knows.
CONVOLUTIONS = (layers.Conv2D, DilatedConv2D, layers.DepthwiseConv2D)
BATCH_NORMALIZATIONS = (BatchNormalization, layers.BatchNormalization)
# Layers without effect at inference.
TRAINING_ONLY = (
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.ActivityRegularization,
)


@keras.saving.register_keras_serializable(package="keras_encnet")
class MultiplyAdd(keras.layers.Layer):
    """Computes `x * scale + shift` along one axis, like batch normalization at inference.

    Args:
        axis: the axis of `x` of `scale` and `shift`.

    Input shape:
        Any; the size of `axis` must be known.

    Output shape:
        Same as the input, in the layer's compute dtype.
    """

    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape):
        size = (input_shape[self.axis],)
        self.scale = self.add_weight(name="scale", shape=size, initializer="ones")
        self.shift = self.add_weight(name="shift", shape=size, initializer="zeros")

    def call(self, x, training=None, mask=None):  # the signature of batch normalization
        shape = [1] * len(x.shape)
        shape[self.axis] = -1
        return x * ops.reshape(self.scale, shape) + ops.reshape(self.shift, shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


def fold_batch_normalization(model: keras.Model) -> keras.Model:
    """Returns an equivalent model for inference without batch normalization.

    Batch normalization directly after a convolution (or Dense) whose output has no other use is
    folded into its kernel and bias; between a depthwise and a 1x1 convolution, its shift is folded
    into the bias of the latter, as TensorFlow cannot fuse that of the former. Otherwise, as before
    the convolution of a pre-activation block, it becomes one multiplication and one addition.
    Dropout is omitted. Weights are computed in float64.

    Example:

    >>> x = images = keras.Input((8, 8, 3))
    >>> x = layers.Conv2D(4, 3, use_bias=False, name="conv")(x)
    >>> x = layers.Dropout(0.1)(layers.BatchNormalization()(x))
    >>> folded = fold_batch_normalization(keras.Model(images, x))
    >>> [(layer.name, layer.use_bias) for layer in folded.layers[1:]]
    [('conv', True)]

    Args:
        model: a functional model. It is not changed. Models nested in it are not folded.

    Returns:
        A model of the same class with new weights. It cannot be trained further.

    Raises:
        ValueError: if `model` is not functional.
    """
    norms = norms_by_producer(model)
    folded = {norm.name for norm in norms.values()}
    depthwise = _depthwise_by_pointwise(model, norms)
    without_bias = {layer.name for layer in depthwise.values()}
    idle = {layer.name for layer in model.layers if isinstance(layer, TRAINING_ONLY)}

    def copy(layer):
        if layer.name in without_bias:
            return copy_of(layer, use_bias=False)
        if layer.name in norms or layer.name in depthwise:
            return copy_of(layer, use_bias=True, bias_initializer="zeros")
        if isinstance(layer, layers.BatchNormalization):
            return MultiplyAdd(layer.axis, name=layer.name, dtype=layer.dtype_policy)
        return copy_of(layer)

    def weights(layer):
        if layer.name in without_bias:
            return _folded_weights(layer, norms[layer.name])[:-1]
        if layer.name in depthwise:
            kernel, bias = _folded_weights(layer, norms.get(layer.name))
            before = depthwise[layer.name]
            shift = _folded_weights(before, norms[before.name])[-1]
            return kernel, bias + shift @ kernel[0, 0]
        if layer.name in norms:
            return _folded_weights(layer, norms[layer.name])
        if isinstance(layer, layers.BatchNormalization):
            return _scale_and_shift(layer)
        return weights_of(layer)

    return rebuild(model, copy, weights, omitted=folded | idle)


def run_folded(model: keras.Model, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Runs a model within a graph, with batch normalization folded into convolutions.

    Unlike `fold_batch_normalization`, this reads the current weights at each call. It saves a
    third of the memory and time of normalization as a separate operation.
    """
    norms = {
        name: norm
        for name, norm in norms_by_producer(model).items()
        if _is_plain(norm, BATCH_NORMALIZATIONS)
        and _is_plain(model.get_layer(name), CONVOLUTIONS)
        and getattr(model.get_layer(name), "groups", 1) == 1
    }
    folded = {norm.name for norm in norms.values()}

    def function_of(layer):
        if layer.name in norms:
            return functools.partial(_convolve_and_normalize, layer, norms[layer.name])
        return _identity if layer.name in folded else layer

    return compat.run_graph(model, images, function_of)


def _is_plain(layer, classes):
    return type(layer) in classes and layer.compute_dtype == "float32" and "call" not in vars(layer)


def _convolve_and_normalize(convolution, norm, x):
    scale = tf.math.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.gamma is not None:
        scale *= norm.gamma
    shift = -norm.moving_mean * scale
    if norm.beta is not None:
        shift += norm.beta
    if convolution.use_bias:
        shift += convolution.bias * scale
    function, strides, kernel = tf.nn.conv2d, convolution.strides, convolution.kernel
    if isinstance(convolution, layers.DepthwiseConv2D):
        # Its output channels are the last two axes of the kernel.
        function, strides = tf.nn.depthwise_conv2d, (1, *strides, 1)
        scale = tf.reshape(scale, kernel.shape[-2:])
    x = function(
        tf.cast(x, convolution.compute_dtype),  # as the layer does with inputs of low precision
        kernel * scale,
        strides,
        convolution.padding.upper(),
        dilations=convolution.dilation_rate,
    )
    return tf.nn.bias_add(x, shift)


def _identity(x, **_):
    return x


def norms_by_producer(model: keras.Model) -> dict[str, layers.BatchNormalization]:
    """Returns the batch normalization that can be folded into each layer, by the layer's name."""
    nodes = calls(model)
    called = collections.Counter(node.operation.name for node in nodes)
    used = collections.Counter(id(x) for node in nodes for x in node.input_tensors)
    used.update(id(x) for x in model.outputs)
    norms = {}
    for node in nodes:
        norm = node.operation
        if not isinstance(norm, layers.BatchNormalization):
            continue
        [x] = node.input_tensors
        producer = compat.producer_of(x)
        if (
            isinstance(producer, LINEAR)
            and producer.activation is keras.activations.linear
            and getattr(producer, "data_format", "channels_last") == "channels_last"
            and norm.axis in (-1, len(x.shape) - 1)
            and called[norm.name] == called[producer.name] == used[id(x)] == 1
        ):
            norms[producer.name] = norm
    return norms


def _depthwise_by_pointwise(model, norms):
    """Returns the normalized depthwise convolution before each 1x1 convolution, by its name.

    Neither has an activation between, and no other layer uses what is between them.
    """
    nodes = calls(model)
    called = collections.Counter(node.operation.name for node in nodes)
    used = collections.Counter(id(x) for node in nodes for x in node.input_tensors)
    used.update(id(x) for x in model.outputs)
    producers = {norm.name: name for name, norm in norms.items()}
    found = {}
    for node in nodes:
        layer = node.operation
        plain = type(layer) is layers.Conv2D and layer.groups == called[layer.name] == 1
        if not plain or layer.kernel_size != (1, 1) or layer.data_format != "channels_last":
            continue
        norm = compat.producer_of(node.input_tensors[0]).name
        if norm in producers and used[id(node.input_tensors[0])] == 1:
            before = model.get_layer(producers[norm])
            if type(before) is layers.DepthwiseConv2D:
                found[layer.name] = before
    return found


def _scale_and_shift(norm):
    """Returns the factors and summands of `norm` at inference, float64."""
    mean, variance, gamma, beta = (
        default if weight is None else np.asarray(weight, "float64")
        for weight, default in (
            (norm.moving_mean, None),
            (norm.moving_variance, None),
            (norm.gamma, 1.0),
            (norm.beta, 0.0),
        )
    )
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta - mean * scale


def _folded_weights(producer, norm):
    """Returns the kernels and the bias of `producer` followed by `norm`, which may be None."""
    scale, shift = (1.0, 0.0) if norm is None else _scale_and_shift(norm)
    weights = [np.asarray(weight, "float64") for weight in weights_of(producer)]
    *kernels, bias = weights if producer.use_bias else [*weights, 0.0]
    # A depthwise kernel ends in (input channels, multiplier), which are the output channels.
    depthwise = isinstance(producer, layers.DepthwiseConv2D)
    along = scale.reshape(kernels[-1].shape[-2:]) if depthwise else scale
    return *kernels[:-1], kernels[-1] * along, bias * scale + shift
