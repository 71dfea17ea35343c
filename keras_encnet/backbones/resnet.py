"""Dilated ResNets: models from images to the features of four stages.

The same network takes both families of published weights. They differ in the
stem, in the convolution that has a stage's stride (the first 1x1 in Keras
Applications, the 3x3 in PyTorch), and in biases and epsilon, which
`resnet_weights.load_weights` folds into the moving statistics.
"""

import os
from collections.abc import Callable, Sequence

import keras
from keras import layers

from keras_encnet.backbones import resnet_weights
from keras_encnet.backbones.normalization import check_statistics
from keras_encnet.layers import BatchNormalization, DilatedConv2D, ImageNormalization
from keras_encnet.utils.checks import check_input_shape, is_count

# First-stage width of the plain stem, or the widths of the deep stem's three 3x3 convolutions.
STEMS = {"plain": (64,), "deep_32": (32, 32, 64), "deep_64": (64, 64, 128)}
STRIDES_ON = ("1x1", "3x3")
SECOND_DILATIONS = ("block", "stage", "none")

# For each output stride, the (stride, dilation of the first block, dilation of the others) of each
# stage. A stage without its stride dilates instead; its first block still sees the grid of the
# previous stage, so it takes half the dilation.
STAGES = {
    8: ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)),
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)),
    32: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)),
}


def ResNet(
    blocks: Sequence[int],
    bottleneck: bool = True,
    input_shape: tuple[int | None, ...] = (None, None, 3),
    output_stride: int = 8,
    stem: str = "plain",
    stride_on: str = "1x1",
    second_dilation: str = "block",
    dilate_strided: bool = False,
    width_multiplier: float = 1.0,
    weights: str | os.PathLike | None = None,
    preprocessing: str | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    name: str = "resnet",
) -> keras.Model:
    """Builds a dilated ResNet that returns the features of its four stages.

    Layers have the names of the ResNets of Keras Applications.

    Example:

    >>> tiny = ResNet(blocks=(1, 1, 1, 1), bottleneck=False, width_multiplier=0.25)
    >>> {stage: features.shape[-1] for stage, features in tiny.output.items()}
    {'stage1': 16, 'stage2': 32, 'stage3': 64, 'stage4': 128}

    Args:
        blocks: four positive integers, the number of blocks per stage.
        bottleneck: whether blocks are 1x1-3x3-1x1 (ResNet-50 and deeper)
            instead of 3x3-3x3 (ResNet-18 and 34).
        input_shape: `(height, width, channels)`; height and width may be None.
        output_stride: size of the images divided by that of `stage4`: 8, 16 or
            32. Dilation replaces the removed strides; the first block of a
            stage takes half of it, as in the official code.
        stem: `"plain"` (7x7, width 64), `"deep_32"` (three 3x3 of widths
            32-32-64, mmsegmentation's V1c) or `"deep_64"` (64-64-128, the
            ResNet-50s of the official code).
        stride_on: the convolution of a bottleneck that has the stride:
            `"1x1"`, the first one (Keras Applications), or `"3x3"` (PyTorch).
        second_dilation: dilation of the second convolution of a block without
            bottleneck: `"block"`, that of the first one; `"stage"`, that of the
            later blocks, also in the first block (the official code and timm);
            or `"none"` (mmsegmentation).
        dilate_strided: whether stages 3 and 4 are dilated as at output stride
            8 although they keep their strides, at output stride 32, as in
            mmsegmentation.
        width_multiplier: factor of every width, rounded to at least 1.
        weights: None (random), `"imagenet"` (downloads those of Keras
            Applications) or the path of a `.weights.h5` file saved by
            `keras.applications.ResNetXX(include_top=False)`. These exist for
            ResNet-50, 101 and 152 with `stem="plain"` and `stride_on="1x1"`,
            at any output stride. For another number of channels, the kernels
            of RGB are repeated and scaled by `3 / channels`; one channel gets
            their sum.
        preprocessing: mode of an `ImageNormalization` layer, such as
            `"caffe"`, with which the images are raw, in 0 to 255; None for
            normalized images.
        mean: mean of the raw images, a number or one per channel, see
            `ImageNormalization`; by default that of ImageNet.
        std: standard deviation of the raw images, as `mean`.
        name: name of the model.

    Returns:
        A `keras.Model` from images, `(batch, height, width, channels)`, to a
        dict of features, `stage1` to `stage4`, each `(batch, height, width,
        channels)`.

    Raises:
        ValueError: for an invalid value.

    References:
        - [Deep Residual Learning](https://arxiv.org/abs/1512.03385)
        - Dilation: [Dilated Residual Networks](https://arxiv.org/abs/1705.09914)
    """
    if len(blocks) != 4 or not all(is_count(b, least=1) for b in blocks):
        raise ValueError(f"`blocks` must be four positive integers. Received: blocks={blocks}")
    for argument, value, allowed in (
        ("output_stride", output_stride, tuple(STAGES)),
        ("stem", stem, tuple(STEMS)),
        ("stride_on", stride_on, STRIDES_ON),
        ("second_dilation", second_dilation, SECOND_DILATIONS),
    ):
        if value not in allowed:
            raise ValueError(
                f"`{argument}` must be one of {allowed}. Received: {argument}={value!r}"
            )
    check_input_shape(input_shape)
    if width_multiplier <= 0:
        raise ValueError(
            f"`width_multiplier` must be positive. Received: width_multiplier={width_multiplier}"
        )
    check_statistics(preprocessing is not None, mean, std)
    if weights is not None:
        resnet_weights.check(weights, tuple(blocks), bottleneck, stem, stride_on, width_multiplier)

    def width(channels):
        return max(1, round(channels * width_multiplier))

    images = keras.Input(input_shape, name="images")
    x = images
    if preprocessing is not None:
        x = ImageNormalization(preprocessing, mean, std, name="image_normalization")(x)
    x = _stem(x, [width(w) for w in STEMS[stem]])
    outputs = {}
    dilations = STAGES[8 if dilate_strided and output_stride == 32 else output_stride]
    for i, (stride, _, _) in enumerate(STAGES[output_stride]):
        _, first_dilation, dilation = dilations[i]
        for j in range(blocks[i]):
            own = first_dilation if j == 0 else dilation
            x = _block(
                x,
                width(64 * 2**i),
                bottleneck=bottleneck,
                stride=stride if j == 0 else 1,
                dilation=own,
                second_dilation={"block": own, "stage": dilation, "none": 1}[second_dilation],
                stride_on=stride_on,
                name=f"conv{i + 2}_block{j + 1}",
            )
        outputs[f"stage{i + 1}"] = x
    model = keras.Model(images, outputs, name=name)
    if weights is not None:
        resnet_weights.load_weights(model, weights, tuple(blocks))
    return model


def preprocessing_of(stride_on: str) -> str:
    """Returns the mode of `preprocess_input` that published weights with this stride expect."""
    return "caffe" if stride_on == "1x1" else "torch"


def _stem(x, widths):
    if len(widths) == 1:
        x = _conv_norm(x, widths[0], 7, stride=2, name="conv1")
        x = layers.ReLU(name="conv1_relu")(x)
    else:
        for i, width in enumerate(widths, start=1):
            x = _conv_norm(x, width, 3, stride=2 if i == 1 else 1, name=f"conv1_{i}")
            x = layers.ReLU(name=f"conv1_{i}_relu")(x)
    # Zeros do not change a maximum, since the input comes from a ReLU.
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _block(x, width, bottleneck, stride, dilation, second_dilation, stride_on, name):
    out = 4 * width if bottleneck else width
    shortcut = x
    if stride > 1 or x.shape[-1] != out:
        shortcut = _conv_norm(x, out, 1, stride=stride, name=f"{name}_0")
    if bottleneck:
        on_first = stride_on == "1x1"
        x = _conv_norm(x, width, 1, stride=stride if on_first else 1, name=f"{name}_1")
        x = layers.ReLU(name=f"{name}_1_relu")(x)
        x = _conv_norm(x, width, 3, 1 if on_first else stride, dilation, name=f"{name}_2")
        x = layers.ReLU(name=f"{name}_2_relu")(x)
        x = _conv_norm(x, out, 1, name=f"{name}_3")
    else:
        x = _conv_norm(x, width, 3, stride, dilation, name=f"{name}_1")
        x = layers.ReLU(name=f"{name}_1_relu")(x)
        x = _conv_norm(x, out, 3, 1, second_dilation, name=f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _conv_norm(x, width, kernel_size, stride=1, dilation=1, name=None):
    if stride > 1 and dilation % stride == 0:
        # A strided convolution with such a dilation reads only the pixels that the stride keeps.
        x = layers.MaxPooling2D(1, strides=stride, name=f"{name}_subsampling")(x)
        stride, dilation = 1, dilation // stride
    if stride > 1 and kernel_size > 1:
        # With a stride, "same" would pad unevenly, unlike PyTorch and Keras Applications.
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    convolution = layers.Conv2D if dilation == 1 else DilatedConv2D
    x = convolution(
        width,
        kernel_size,
        strides=stride,
        dilation_rate=dilation,
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_conv",
    )(x)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _named(depth: int, blocks: Sequence[int], bottleneck: bool) -> Callable[..., keras.Model]:
    def build(
        input_shape: tuple[int | None, ...] = (None, None, 3),
        output_stride: int = 8,
        stem: str = "plain",
        stride_on: str = "1x1",
        second_dilation: str = "block",
        dilate_strided: bool = False,
        width_multiplier: float = 1.0,
        blocks: Sequence[int] = blocks,
        weights: str | os.PathLike | None = None,
        preprocessing: str | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        name: str = f"resnet{depth}",
    ) -> keras.Model:
        return ResNet(
            blocks,
            bottleneck,
            input_shape=input_shape,
            output_stride=output_stride,
            stem=stem,
            stride_on=stride_on,
            second_dilation=second_dilation,
            dilate_strided=dilate_strided,
            width_multiplier=width_multiplier,
            weights=weights,
            preprocessing=preprocessing,
            mean=mean,
            std=std,
            name=name,
        )

    build.__name__ = build.__qualname__ = f"ResNet{depth}"
    build.__doc__ = (
        f"Builds ResNet-{depth}, dilated to `output_stride`. Arguments, returned value and errors: "
        "`ResNet`."
    )
    return build


ResNet18 = _named(18, (2, 2, 2, 2), bottleneck=False)
ResNet34 = _named(34, (3, 4, 6, 3), bottleneck=False)
ResNet50 = _named(50, (3, 4, 6, 3), bottleneck=True)
ResNet101 = _named(101, (3, 4, 23, 3), bottleneck=True)
ResNet152 = _named(152, (3, 8, 36, 3), bottleneck=True)
