"""Names in the published networks: dicts from names of Keras layers to names of modules."""

import re
import statistics
from collections.abc import Mapping
from typing import Any

from keras_encnet.models import necks

Shapes = Mapping[str, tuple[int, ...]]


def _neck(convolutions, branches, layers):
    """Returns the names of the layers and modules of joint pyramid upsampling.

    Args:
        convolutions: names of the modules of stages 2, 3 and 4.
        branches: names of the modules of the four branches.
        layers: names within such a module: convolution and normalization of a stage, depthwise
            convolution, its normalization, 1x1 convolution and its normalization of a branch.
    """
    conv, norm, *separable = layers
    parts = ("depthwise", "depthwise_bn", "conv", "bn")
    return {
        f"neck_{stage}_{part}": f"{module}.{inner}"
        for stage, module in zip(necks.PYRAMID, convolutions, strict=True)
        for part, inner in (("conv", conv), ("bn", norm))
    } | {
        f"neck_dilation{dilation}_{part}": f"{module}.{inner}"
        for dilation, module in zip(necks.DILATIONS, branches, strict=True)
        for part, inner in zip(parts, separable, strict=True)
    }


OFFICIAL_NECK = _neck(
    ("jpu.conv3", "jpu.conv4", "jpu.conv5"),
    ("jpu.dilation1", "jpu.dilation2", "jpu.dilation3", "jpu.dilation4"),
    ("0", "1", "0.conv1", "0.bn", "0.pointwise", "1"),
)
MMSEGMENTATION_NECK = _neck(
    [f"neck.conv_layers.{i}.0" for i in range(3)],
    [f"neck.dilation_layers.{i}.0" for i in range(4)],
    (
        "conv",
        "bn",
        "depthwise_conv.conv",
        "depthwise_conv.bn",
        "pointwise_conv.conv",
        "pointwise_conv.bn",
    ),
)

OFFICIAL_AUXILIARY = {
    "segmentation_stage3_conv": "auxlayer.conv5.0",
    "segmentation_stage3_bn": "auxlayer.conv5.1",
    "segmentation_stage3_logits": "auxlayer.conv5.4",
}
OFFICIAL_ENCNET = {
    "head_conv": "head.conv5.0",
    "head_bn": "head.conv5.1",
    "lateral_stage2_conv": "head.connect.0.0",
    "lateral_stage2_bn": "head.connect.0.1",
    "lateral_stage3_conv": "head.connect.1.0",
    "lateral_stage3_bn": "head.connect.1.1",
    "fusion_conv": "head.fusion.0",
    "fusion_bn": "head.fusion.1",
    "context_projection_conv": "head.encmodule.encoding.0",
    "context_projection_bn": "head.encmodule.encoding.1",
    "context_encoding": "head.encmodule.encoding.3",
    "context_bn": "head.encmodule.encoding.4",
    "context_attention": "head.encmodule.fc.0",
    "presence": "head.encmodule.selayer",
    "segmentation_logits": "head.conv6.1",
    **OFFICIAL_AUXILIARY,
    **OFFICIAL_NECK,
}
OFFICIAL_FCN = {
    "segmentation_conv": "head.conv5.0",
    "segmentation_bn": "head.conv5.1",
    "segmentation_logits": "head.conv5.4",
    **OFFICIAL_AUXILIARY,
    **OFFICIAL_NECK,
}
OFFICIAL_PSP = {
    "pyramid_1_conv": "head.conv5.0.conv1.0",
    "pyramid_1_bn": "head.conv5.0.conv1.1",
    "pyramid_2_conv": "head.conv5.0.conv2.0",
    "pyramid_2_bn": "head.conv5.0.conv2.1",
    "pyramid_3_conv": "head.conv5.0.conv3.0",
    "pyramid_3_bn": "head.conv5.0.conv3.1",
    "pyramid_6_conv": "head.conv5.0.conv4.0",
    "pyramid_6_bn": "head.conv5.0.conv4.1",
    "head_conv": "head.conv5.1",
    "head_bn": "head.conv5.2",
    "segmentation_logits": "head.conv5.5",
    **OFFICIAL_AUXILIARY,
    **OFFICIAL_NECK,
}
OFFICIAL_DEEPLABV3 = {
    "aspp_0_conv": "head.aspp.b0.0",
    "aspp_0_bn": "head.aspp.b0.1",
    "aspp_1_conv": "head.aspp.b1.0",
    "aspp_1_bn": "head.aspp.b1.1",
    "aspp_2_conv": "head.aspp.b2.0",
    "aspp_2_bn": "head.aspp.b2.1",
    "aspp_3_conv": "head.aspp.b3.0",
    "aspp_3_bn": "head.aspp.b3.1",
    "aspp_image_conv": "head.aspp.b4.gap.1",
    "aspp_image_bn": "head.aspp.b4.gap.2",
    "aspp_projection_conv": "head.aspp.project.0",
    "aspp_projection_bn": "head.aspp.project.1",
    "head_conv": "head.block.0",
    "head_bn": "head.block.1",
    "segmentation_logits": "head.block.4",
    **OFFICIAL_AUXILIARY,
    **OFFICIAL_NECK,
}
MMSEGMENTATION_ENDS = {
    "head_conv": "decode_head.bottleneck.conv",
    "head_bn": "decode_head.bottleneck.bn",
    "segmentation_logits": "decode_head.conv_seg",
    "segmentation_stage3_conv": "auxiliary_head.convs.0.conv",
    "segmentation_stage3_bn": "auxiliary_head.convs.0.bn",
    "segmentation_stage3_logits": "auxiliary_head.conv_seg",
    **MMSEGMENTATION_NECK,
}
MMSEGMENTATION_ENCNET = {
    "lateral_stage2_conv": "decode_head.lateral_convs.0.conv",
    "lateral_stage2_bn": "decode_head.lateral_convs.0.bn",
    "lateral_stage3_conv": "decode_head.lateral_convs.1.conv",
    "lateral_stage3_bn": "decode_head.lateral_convs.1.bn",
    "fusion_conv": "decode_head.fusion.conv",
    "fusion_bn": "decode_head.fusion.bn",
    "context_projection_conv": "decode_head.enc_module.encoding_project.conv",
    "context_projection_bn": "decode_head.enc_module.encoding_project.bn",
    "context_encoding": "decode_head.enc_module.encoding.0",
    "context_bn": "decode_head.enc_module.encoding.1",
    "context_attention": "decode_head.enc_module.fc.0",
    "presence": "decode_head.se_layer",
    **MMSEGMENTATION_ENDS,
}
MMSEGMENTATION_FCN = {
    "segmentation_conv": "decode_head.convs.0.conv",
    "segmentation_bn": "decode_head.convs.0.bn",
    "segmentation_2_conv": "decode_head.convs.1.conv",
    "segmentation_2_bn": "decode_head.convs.1.bn",
    "segmentation_3_conv": "decode_head.conv_cat.conv",
    "segmentation_3_bn": "decode_head.conv_cat.bn",
    **MMSEGMENTATION_ENDS,
}
MMSEGMENTATION_PSP = {
    "pyramid_1_conv": "decode_head.psp_modules.0.1.conv",
    "pyramid_1_bn": "decode_head.psp_modules.0.1.bn",
    "pyramid_2_conv": "decode_head.psp_modules.1.1.conv",
    "pyramid_2_bn": "decode_head.psp_modules.1.1.bn",
    "pyramid_3_conv": "decode_head.psp_modules.2.1.conv",
    "pyramid_3_bn": "decode_head.psp_modules.2.1.bn",
    "pyramid_6_conv": "decode_head.psp_modules.3.1.conv",
    "pyramid_6_bn": "decode_head.psp_modules.3.1.bn",
    **MMSEGMENTATION_ENDS,
}
MMSEGMENTATION_DEEPLABV3 = {
    "aspp_image_conv": "decode_head.image_pool.1.conv",
    "aspp_image_bn": "decode_head.image_pool.1.bn",
    "aspp_0_conv": "decode_head.aspp_modules.0.conv",
    "aspp_0_bn": "decode_head.aspp_modules.0.bn",
    "aspp_1_conv": "decode_head.aspp_modules.1.conv",
    "aspp_1_bn": "decode_head.aspp_modules.1.bn",
    "aspp_2_conv": "decode_head.aspp_modules.2.conv",
    "aspp_2_bn": "decode_head.aspp_modules.2.bn",
    "aspp_3_conv": "decode_head.aspp_modules.3.conv",
    "aspp_3_bn": "decode_head.aspp_modules.3.bn",
    **MMSEGMENTATION_ENDS,
}

# The CIFAR networks. The names of a block's layers follow a prefix such as `stage1_block1_`.
CIFAR_ENDS = {
    "stem_conv": "model.0",
    "stem_bn": "model.1",
    "final_bn": "model.6",
    "predictions": "model.10",
}
CIFAR_PRE_ACTIVATION_BLOCK = {
    "1_bn": "conv_block.0",
    "1_conv": "conv_block.2",
    "2_bn": "conv_block.3",
    "2_conv": "conv_block.5",
    "shortcut_conv": "residual_layer",
}
CIFAR_ENCODING_BLOCK = {
    "1_conv": "conv1",
    "1_bn": "bn1",
    "2_conv": "conv2",
    "2_bn": "bn2",
    "gate_conv": "se.fc.0",
    "gate_bn": "se.fc.1",
    "gate_encoding": "se.fc.3",
    "gate_attention": "se.fc.6",
    "shortcut_conv": "residual_layer",
}


def cifar(block: Mapping[str, str]) -> dict[str, str]:
    """Returns the names of all layers and modules of a CIFAR network, given those of a block."""
    return CIFAR_ENDS | {
        f"stage{stage}_block{i}_{layer}": f"model.{stage + 2}.{i - 1}.{module}"
        for stage in (1, 2, 3)
        for i in (1, 2)
        for layer, module in block.items()
    }


# Convolutions and batch normalizations of the stem: torchvision's, the deep one of the official
# code and timm, and mmsegmentation's.
STEMS = (
    (("conv1", "bn1"),),
    (("conv1.0", "conv1.1"), ("conv1.3", "conv1.4"), ("conv1.6", "bn1")),
    (("stem.0", "stem.1"), ("stem.3", "stem.4"), ("stem.6", "stem.7")),
)


def holds(shapes: Shapes, module: str) -> bool:
    """Returns whether any tensor belongs to `module`."""
    return any(name.startswith(f"{module}.") for name in shapes)


def size_of(shapes: Shapes, *modules: str) -> int:
    """Returns the most common first size of the tensors directly in `modules`.

    The most common one, and on a tie that of a vector rather than a kernel, so that a single
    misshapen tensor is reported as such instead of determining the network.

    Raises:
        ValueError: if `modules` have no tensors.
    """
    found = [
        shape
        for name, shape in shapes.items()
        if shape and any(name.rpartition(".")[0] == module for module in modules)
    ]
    if not found:
        raise ValueError(
            "The checkpoint has no tensors for a part of the network. Missing: "
            + ", ".join(f"{module}.*" for module in modules)
        )
    return statistics.mode(shape[0] for shape in sorted(found, key=len))


def resnet_structure(shapes: Shapes, prefix: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Reads the structure of a ResNet from the names and shapes of its tensors.

    Args:
        shapes: shapes by name.
        prefix: prefix of the backbone's names, such as `"pretrained."`.

    Returns:
        The arguments `blocks`, `bottleneck` and `stem` of `backbones.ResNet`, and a dict from
        names of layers to names of modules.
    """
    indices = [[-1], [-1], [-1], [-1]]
    pattern = re.compile(re.escape(prefix) + r"layer([1-4])\.(\d+)\.")
    for match in filter(None, map(pattern.match, shapes)):
        indices[int(match[1]) - 1].append(int(match[2]))
    blocks = tuple(max(1, max(stage) + 1) for stage in indices)
    bottleneck = any(
        holds(shapes, f"{prefix}layer{stage + 1}.{block}.conv3")
        for stage in range(4)
        for block in range(blocks[stage])
    )
    own = [name.removeprefix(prefix).rpartition(".")[0] for name in shapes]
    stem = max(STEMS, key=lambda stem: sum(name in pair for name in own for pair in stem))

    layers: dict[str, str] = {}
    for i, pair in enumerate(stem, start=1):
        layer = "conv1" if len(stem) == 1 else f"conv1_{i}"
        layers |= _conv_norm(layer, *(prefix + module for module in pair))
    for stage in range(4):
        for block in range(blocks[stage]):
            layer, module = f"conv{stage + 2}_block{block + 1}", f"{prefix}layer{stage + 1}.{block}"
            layers |= _conv_norm(f"{layer}_0", f"{module}.downsample.0", f"{module}.downsample.1")
            for i in (1, 2, 3):
                layers |= _conv_norm(f"{layer}_{i}", f"{module}.conv{i}", f"{module}.bn{i}")
    structure = {"blocks": blocks, "bottleneck": bottleneck, "stem": "plain"}
    if len(stem) > 1:
        structure["stem"] = f"deep_{size_of(shapes, *(prefix + module for module in stem[0]))}"
    return structure, layers


def _conv_norm(layer, conv, norm):
    return {f"{layer}_conv": conv, f"{layer}_bn": norm}
