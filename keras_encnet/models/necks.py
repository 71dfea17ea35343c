"""Necks: functions from the features of a backbone to those that a head takes."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace

import keras
from keras import layers

from keras_encnet.backbones.stages import SIZE, STRIDES, log2_stride
from keras_encnet.layers import BatchNormalization, BilinearUpsampling
from keras_encnet.models.heads.blocks import conv_norm_relu
from keras_encnet.utils.checks import check_stages

# The stages that joint pyramid upsampling takes, and their strides.
PYRAMID = {stage: STRIDES[stage] for stage in ("stage2", "stage3", "stage4")}
DILATIONS = (1, 2, 4, 8)
ORDERS = ("fine_first", "coarse_first")


def joint_pyramid_upsampling(
    images: keras.KerasTensor, stages: Mapping[str, keras.KerasTensor], options: SimpleNamespace
) -> dict[str, keras.KerasTensor]:
    """Joint pyramid upsampling (JPU): one map of output stride 8 from stages 2, 3 and 4.

    It takes the place of dilation in the backbone, which then computes a sixteenth of the pixels
    in stage 4 and a quarter in stage 3.

    Args:
        images: `(batch, height, width, channels)`.
        stages: features of strides 8, 16 and 32, `stage2` to `stage4`.
        options: `neck_width`, `neck_order` and `neck_align_corners`, see `models.structure`.

    Returns:
        The stages, where `stage4` is replaced by the map, `(batch, height / 8, width / 8,
        4 * neck_width)`.

    Raises:
        ValueError: if the stages are missing or have other strides.

    References:
        - [FastFCN](https://arxiv.org/abs/1903.11816), 3.3
    """
    check_stages(stages, PYRAMID)
    _check_strides(images, stages)
    width = options.neck_width
    fine, *coarse = (conv_norm_relu(stages[s], width, 3, name=f"neck_{s}") for s in PYRAMID)
    pyramid = [fine]
    for i, x in enumerate(coarse, start=3):
        name = f"neck_stage{i}_upsampling"
        pyramid.append(BilinearUpsampling(options.neck_align_corners, name=name)(x, fine))
    if options.neck_order == "coarse_first":
        pyramid.reverse()
    x = layers.Concatenate(name="neck_pyramid")(pyramid)
    branches = [_separable(x, width, dilation) for dilation in DILATIONS]
    return {**stages, "stage4": layers.Concatenate(name="neck_features")(branches)}


def _separable(x, width, dilation):
    """A dilated depthwise and a 1x1 convolution, each normalized; one ReLU, at the end."""
    name = f"neck_dilation{dilation}"
    x = layers.DepthwiseConv2D(
        3, padding="same", dilation_rate=dilation, use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_depthwise_bn")(x)
    return conv_norm_relu(x, width, 1, name=name)


def _check_strides(images, stages):
    """Raises ValueError unless the stages have the strides of `PYRAMID`."""
    size = [side or SIZE for side in images.shape[1:3]]
    network = keras.Model(images, {stage: stages[stage] for stage in PYRAMID})
    shapes = network.compute_output_shape((1, *size, images.shape[-1]))
    strides = {stage: 2 ** log2_stride(size, shape) for stage, shape in shapes.items()}
    if strides != PYRAMID:
        raise ValueError(
            "`neck='jpu'` requires a backbone whose stages 2, 3 and 4 have the strides 8, 16 and "
            "32: a ResNet with `output_stride=32`. Without a neck, a head takes any. "
            f"Received: backbone with the strides {strides}"
        )


NECKS: dict[str, Callable] = {"jpu": joint_pyramid_upsampling}
