"""Gates for the feature maps of any network: by context encoding, and by squeeze and excitation."""

from keras import initializers, layers

from keras_encnet.layers import BatchNormalization, Encoding, FeatureMapAttention
from keras_encnet.utils.checks import check_count
from keras_encnet.utils.numerics import at_least_float32


def context_encoding_gate(
    x, num_codewords=16, reduction=4, stochastic_scale=False, seed=None, name="gate"
):
    """Scales each feature map by a gate that the whole image's code predicts.

        1x1 convolution to channels / reduction, batch normalization, ReLU
        Encoding, flattened, divided by its L2 norm
        x * sigmoid(W code + b)

    It is the Context Encoding Module of the CIFAR-10 experiment, and fits
    into any functional model, as a squeeze-and-excitation block would.

    Example:

    >>> import keras
    >>> x = images = keras.Input((32, 32, 3))
    >>> x = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    >>> x = context_encoding_gate(x, num_codewords=16, name="gate1")
    >>> x.shape
    (None, 32, 32, 64)

    Args:
        x: tensor of shape `(batch, height, width, channels)`; the channels
            must be known, the other sizes need not be.
        num_codewords: number of codewords, at least 1.
        reduction: the code has `channels // reduction` channels.
        stochastic_scale: whether training draws the smoothing factors afresh,
            see `Encoding`.
        seed: seed of the stochastic scale.
        name: the names of the layers begin with it.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        ValueError: for a `reduction` that isn't from 1 to `channels`, or what
            `Encoding` refuses.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904), 4.3;
          the released CIFAR code, where the paper leaves details open.
    """
    # Under mixed precision the code stays in float32 until it is a gate.
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


def squeeze_excitation_gate(x, reduction=16, name="gate"):
    """Scales each feature map by a gate that the means of all maps predict.

    Args:
        x: tensor of shape `(batch, height, width, channels)`, channels known.
        reduction: the hidden layer has `channels // reduction` units.
        name: the names of the layers begin with it.

    Returns:
        A tensor of the shape and dtype of `x`.

    Raises:
        ValueError: for a `reduction` that isn't from 1 to `channels`.

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


def fan_in_uniform():
    """U(-1, 1) / sqrt(fan in): how the released code, by PyTorch's default, starts kernels."""
    return initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")


def _reduced(x, reduction):
    channels = x.shape[-1]
    check_count("reduction", reduction, most=channels)
    return channels // reduction
