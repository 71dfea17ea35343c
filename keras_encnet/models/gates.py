"""Gates for the feature maps of any network: context encoding, and squeeze and excitation."""

import keras
from keras import initializers, layers

from keras_encnet.layers import BatchNormalization, Encoding, FeatureMapAttention
from keras_encnet.utils.checks import check_count
from keras_encnet.utils.numerics import at_least_float32


def context_encoding_gate(
    x: keras.KerasTensor,
    num_codewords: int = 16,
    reduction: int = 4,
    stochastic_scale: bool = False,
    seed: int | None = None,
    name: str = "gate",
) -> keras.KerasTensor:
    """Scales each feature map by a gate that a code of the whole image predicts.

        1x1 convolution to channels / reduction, batch normalization, ReLU
        Encoding, flattened, divided by its L2 norm
        x * sigmoid(W code + b)

    This is the Context Encoding Module of the CIFAR-10 experiment. It can be
    used in any functional model, like a squeeze-and-excitation block.

    Example:

    >>> import keras
    >>> x = images = keras.Input((32, 32, 3))
    >>> x = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    >>> x = context_encoding_gate(x, num_codewords=16, name="gate1")
    >>> x.shape
    (None, 32, 32, 64)

    Args:
        x: tensor of shape `(batch, height, width, channels)`. Only the number
            of channels must be known.
        num_codewords: number of codewords, at least 1.
        reduction: reduction ratio; the code has `channels // reduction`
            channels.
        stochastic_scale: whether smoothing factors are random in training, see
            `Encoding`.
        seed: seed of the stochastic scale.
        name: prefix of the names of the layers.

    Returns:
        A tensor with the shape and dtype of `x`.

    Raises:
        ValueError: for a `reduction` outside 1 to `channels`, or a
            `num_codewords` below 1.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904), 4.3;
          details that the paper leaves open are those of the official CIFAR code.
    """
    # Under mixed precision, the code stays in float32 until it becomes a gate.
    dtype = at_least_float32()
    code = layers.Conv2D(
        _reduced(x, reduction), 1, kernel_initializer=fan_in_uniform(), name=f"{name}_conv"
    )(x)
    code = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(code)
    code = layers.ReLU(name=f"{name}_relu")(code)
    code = Encoding(
        num_codewords, stochastic_scale=stochastic_scale, seed=seed, name=f"{name}_encoding"
    )(code)
    code = layers.Flatten(dtype=dtype, name=f"{name}_flatten")(code)
    code = layers.UnitNormalization(dtype=dtype, name=f"{name}_norm")(code)
    return FeatureMapAttention(name=f"{name}_attention")(x, code)


def squeeze_excitation_gate(
    x: keras.KerasTensor, reduction: int = 16, name: str = "gate"
) -> keras.KerasTensor:
    """Scales each feature map by a gate that the means of all feature maps predict.

    Args:
        x: tensor of shape `(batch, height, width, channels)`, channels known.
        reduction: reduction ratio; the hidden layer has `channels // reduction`
            units.
        name: prefix of the names of the layers.

    Returns:
        A tensor with the shape and dtype of `x`.

    Raises:
        ValueError: for a `reduction` outside 1 to `channels`.

    References:
        - [Squeeze-and-Excitation Networks](https://arxiv.org/abs/1709.01507)
    """
    dtype = at_least_float32()
    code = layers.GlobalAveragePooling2D(dtype=dtype, name=f"{name}_pool")(x)
    code = layers.Dense(
        _reduced(x, reduction),
        activation="relu",
        kernel_initializer=fan_in_uniform(),
        dtype=dtype,
        name=f"{name}_dense",
    )(code)
    return FeatureMapAttention(name=f"{name}_attention")(x, code)


def fan_in_uniform() -> keras.Initializer:
    """U(-1, 1) / sqrt(fan in), the default of PyTorch, which the official code uses."""
    return initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")


def _reduced(x, reduction):
    channels = x.shape[-1]
    check_count("reduction", reduction, most=channels)
    return channels // reduction
