"""The networks of 14 layers that the paper compares on CIFAR-10."""

import functools
import os
from collections.abc import Sequence

import keras
from keras import layers

from keras_encnet.backbones.normalization import check_statistics
from keras_encnet.graph.channels import load_weights
from keras_encnet.layers import BatchNormalization, ImageNormalization
from keras_encnet.models.classification_model import ClassificationModel
from keras_encnet.models.gates import (
    context_encoding_gate,
    fan_in_uniform,
    squeeze_excitation_gate,
)
from keras_encnet.utils.checks import check_classes, check_count, check_input_shape, check_weights
from keras_encnet.utils.numerics import at_least_float32

# For each stage, its width as a multiple of that of the first, and the stride of its first block.
STAGES = ((1, 1), (2, 2), (4, 2))
BLOCKS = 2


def ResNet14(
    width: int = 64,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: tuple[int | None, ...] = (32, 32, 3),
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    name: str = "resnet14",
) -> ClassificationModel | keras.Model:
    """Builds the baseline: a pre-activation ResNet of 14 layers ("ResNet 64d").

    Args:
        width: channels of the first stage; the others have 2 and 4 times as
            many.
        include_top: whether to include the classifier. Otherwise the output is
            the features before pooling, `(batch, height / 4, width / 4,
            4 * width)`.
        weights: None (random), or the path of a `.weights.h5` file saved by
            `save_weights` of the same network.
        input_tensor: a Keras tensor to use as input, instead of a new one.
        input_shape: `(height, width, channels)`; height and width may be None.
        pooling: if `include_top` is false: `"avg"` or `"max"` over all pixels,
            or None.
        classes: number of classes, at least 2.
        classifier_activation: `"softmax"`, or None for logits.
        include_preprocessing: whether the model normalizes its images, as
            `preprocess_input(images, "cifar10")` does. False builds it on
            normalized images.
        mean: mean of the raw images, a number or one per channel, see
            `ImageNormalization`; by default that of CIFAR-10.
        std: standard deviation of the raw images, as `mean`.
        name: name of the model.

    Returns:
        A `ClassificationModel` from images, usually RGB, uint8 or float in 0 to
        255, to `(batch, classes)`, float32; if `include_top` is false, a
        `keras.Model`.

    Raises:
        ValueError: for an invalid value.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904), 4.3
        - [Identity Mappings in Deep Residual Networks](https://arxiv.org/abs/1603.05027)
    """
    _check_arguments(width, weights, input_shape, pooling, classes, classifier_activation)
    images = _images(input_tensor, input_shape, include_preprocessing, mean, std)
    inputs, x = _features(_pre_activation_block, width, *images)
    return _model(inputs, x, include_top, weights, pooling, classes, classifier_activation, name)


def SEResNet14(
    width: int = 64,
    reduction: int = 16,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: tuple[int | None, ...] = (32, 32, 3),
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    name: str = "se_resnet14",
) -> ClassificationModel | keras.Model:
    """Builds the ResNet of 14 layers with squeeze and excitation ("SE-ResNet 64d").

    It was not published. Its blocks are the post-activation blocks of
    `EncNet14` with another gate, which makes the two comparable. It has
    2,800,322 parameters; with pre-activation blocks it would have 2,799,938.

    Args:
        width: see `ResNet14`.
        reduction: see `squeeze_excitation_gate`.
        include_top: see `ResNet14`.
        weights: see `ResNet14`.
        input_tensor: see `ResNet14`.
        input_shape: see `ResNet14`.
        pooling: see `ResNet14`.
        classes: see `ResNet14`.
        classifier_activation: see `ResNet14`.
        include_preprocessing: see `ResNet14`.
        mean: see `ResNet14`.
        std: see `ResNet14`.
        name: name of the model.

    Returned value and errors: see `ResNet14`.

    References:
        - [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507)
    """
    gate = functools.partial(squeeze_excitation_gate, reduction=reduction)
    block = functools.partial(_gated_block, gate=gate)
    _check_arguments(width, weights, input_shape, pooling, classes, classifier_activation)
    images = _images(input_tensor, input_shape, include_preprocessing, mean, std)
    inputs, x = _features(block, width, *images)
    return _model(inputs, x, include_top, weights, pooling, classes, classifier_activation, name)


def EncNet14(
    width: int = 64,
    num_codewords: int = 16,
    stochastic_scale: bool = False,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: tuple[int | None, ...] = (32, 32, 3),
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    name: str = "encnet14",
) -> ClassificationModel | keras.Model:
    """Builds EncNet for small images ("EncNet 16k64d": 16 codewords, width 64).

    A ResNet of 14 layers with a Context Encoding Module in every block.

    Example:

    >>> model = EncNet14(width=64, num_codewords=16)
    >>> model.output.shape
    (None, 10)

    Args:
        width: see `ResNet14`.
        num_codewords: codewords of each gate, see `context_encoding_gate`.
        stochastic_scale: whether smoothing factors are random in training, see
            `Encoding`. The published error was reached with it; it helps in
            long training. Reproducible after `keras.utils.set_random_seed`.
        include_top: see `ResNet14`.
        weights: see `ResNet14`.
        input_tensor: see `ResNet14`.
        input_shape: see `ResNet14`.
        pooling: see `ResNet14`.
        classes: see `ResNet14`.
        classifier_activation: see `ResNet14`.
        include_preprocessing: see `ResNet14`.
        mean: see `ResNet14`.
        std: see `ResNet14`.
        name: name of the model.

    Returned value and errors: see `ResNet14`.
    """
    gate = functools.partial(
        context_encoding_gate, num_codewords=num_codewords, stochastic_scale=stochastic_scale
    )
    block = functools.partial(_gated_block, gate=gate)
    _check_arguments(width, weights, input_shape, pooling, classes, classifier_activation)
    images = _images(input_tensor, input_shape, include_preprocessing, mean, std)
    inputs, x = _features(block, width, *images)
    return _model(inputs, x, include_top, weights, pooling, classes, classifier_activation, name)


def _images(input_tensor, input_shape, include_preprocessing, mean, std):
    """Returns the input of the model and the normalized images."""
    check_statistics(include_preprocessing, mean, std)
    x = layers.Input(input_shape, name="images") if input_tensor is None else input_tensor
    inputs = keras.utils.get_source_inputs(x)[0]
    if include_preprocessing:
        x = ImageNormalization("cifar10", mean, std, name="image_normalization")(x)
    return inputs, x


def _features(block, width, inputs, x):
    x = _conv(x, width, 3, name="stem", use_bias=True)
    x = _norm_relu(x, name="stem")
    for i, (multiple, stride) in enumerate(STAGES, start=1):
        for j in range(1, BLOCKS + 1):
            x = block(x, multiple * width, stride if j == 1 else 1, name=f"stage{i}_block{j}")
    # Also after blocks that already end in a ReLU, as in the official code.
    return inputs, _norm_relu(x, name="final")


def _model(inputs, x, include_top, weights, pooling, classes, classifier_activation, name):
    if include_top:
        x = layers.GlobalAveragePooling2D(dtype=at_least_float32(), name="pool")(x)
        outputs = layers.Dense(
            classes,
            activation=classifier_activation,
            kernel_initializer=fan_in_uniform(),
            dtype=at_least_float32(),
            name="predictions",
        )(x)
        model = ClassificationModel(
            inputs, outputs, name=name, classifier_activation=classifier_activation
        )
    else:
        pool = {
            "avg": layers.GlobalAveragePooling2D,
            "max": layers.GlobalMaxPooling2D,
            None: None,
        }[pooling]
        model = keras.Model(inputs, pool(name="pool")(x) if pool else x, name=name)
    if weights is not None:
        load_weights(model, weights)
    return model


def _pre_activation_block(x, channels, stride, name):
    shortcut = _shortcut(x, channels, stride, name)
    x = _norm_relu(x, name=f"{name}_1")
    x = _conv(x, channels, 3, name=f"{name}_1", stride=stride)
    x = _norm_relu(x, name=f"{name}_2")
    x = _conv(x, channels, 3, name=f"{name}_2")
    return layers.Add(name=f"{name}_add")([x, shortcut])


def _gated_block(x, channels, stride, name, gate):
    shortcut = _shortcut(x, channels, stride, name)
    x = _conv(x, channels, 3, name=f"{name}_1", stride=stride)
    x = _norm_relu(x, name=f"{name}_1")
    x = _conv(x, channels, 3, name=f"{name}_2")
    x = _norm(x, name=f"{name}_2")
    x = gate(x, name=f"{name}_gate")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_out")(x)


def _shortcut(x, channels, stride, name):
    if stride == 1 and x.shape[-1] == channels:
        return x
    return _conv(x, channels, 1, name=f"{name}_shortcut", stride=stride, use_bias=True)


def _conv(x, channels, kernel_size, name, stride=1, use_bias=False):
    if stride > 1 and kernel_size > 1:
        # Equal on all sides, as in the official code; "same" would only pad bottom and right.
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        channels,
        kernel_size,
        stride,
        padding="same" if stride == 1 else "valid",
        use_bias=use_bias,
        kernel_initializer=fan_in_uniform(),
        name=f"{name}_conv",
    )(x)


def _norm(x, name):
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _norm_relu(x, name):
    return layers.ReLU(name=f"{name}_relu")(_norm(x, name))


def _check_arguments(width, weights, input_shape, pooling, classes, classifier_activation):
    check_classes(classes)
    check_weights(weights)
    check_count("width", width)
    check_input_shape(input_shape)
    if pooling not in ("avg", "max", None):
        raise ValueError(f"`pooling` must be 'avg', 'max' or None. Received: pooling={pooling!r}")
    if classifier_activation not in ("softmax", None):
        raise ValueError(
            "`classifier_activation` must be 'softmax', or None for logits. "
            f"Received: classifier_activation={classifier_activation!r}"
        )
