"""Names and shapes of the tensors of published networks."""

import numpy as np

R50, R101 = (3, 4, 6, 3), (3, 4, 23, 3)
# The smallest network of each kind.
TINY = {"blocks": (1, 1, 1, 1), "bottleneck": False, "channels": 8, "codewords": 4, "classes": 5}


def conv(name, *shape):
    return {f"{name}.weight": shape}


def norm(name, size):
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (size,) for leaf in leaves}


def affine(name, *shape):
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def stem(kind):
    """Returns the shapes of a stem: `"plain"`, or (layout, first width, last width)."""
    if kind == "plain":
        return conv("conv1", 64, 3, 7, 7) | norm("bn1", 64)
    layout, first, last = kind
    norms = {"conv1": ("conv1.1", "conv1.4", "bn1"), "stem": ("stem.1", "stem.4", "stem.7")}[layout]
    shapes = {}
    sizes = (3, first, first, last)
    for i, module in enumerate(norms):
        shapes |= conv(f"{layout}.{3 * i}", sizes[i + 1], sizes[i], 3, 3)
        shapes |= norm(module, sizes[i + 1])
    return shapes


def resnet(blocks=R50, bottleneck=True, stem_kind="plain", prefix=""):
    shapes = stem(stem_kind)
    before = 64 if stem_kind == "plain" else stem_kind[2]
    for stage, count in enumerate(blocks, start=1):
        width = 64 * 2 ** (stage - 1)
        after = 4 * width if bottleneck else width
        for block in range(count):
            name = f"layer{stage}.{block}"
            kernels = [(width, before, 3, 3), (width, width, 3, 3)]
            if bottleneck:
                kernels = [(width, before, 1, 1), (width, width, 3, 3), (after, width, 1, 1)]
            for i, kernel in enumerate(kernels, start=1):
                shapes |= conv(f"{name}.conv{i}", *kernel) | norm(f"{name}.bn{i}", kernel[0])
            if block == 0 and (stage > 1 or before != after):
                shapes |= conv(f"{name}.downsample.0", after, before, 1, 1)
                shapes |= norm(f"{name}.downsample.1", after)
            before = after
    return {prefix + name: shape for name, shape in shapes.items()}


def official(
    classes=150,
    lateral=False,
    auxiliary=True,
    presence=True,
    channels=512,
    codewords=32,
    bottleneck=True,
    blocks=R50,
    stem_kind=("conv1", 64, 128),
    jpu=None,
    head_kernel=3,
):
    """Returns the shapes of EncNet; `jpu` is the width of joint pyramid upsampling."""
    c2, c3, c4 = (128, 256, 512) if not bottleneck else (512, 1024, 2048)
    shapes = resnet(blocks, bottleneck, stem_kind, prefix="pretrained.")
    if jpu:
        shapes |= pyramid_upsampling(jpu, (c2, c3, c4))
        c4 = 4 * jpu
    shapes |= conv("head.conv5.0", channels, c4, head_kernel, head_kernel)
    shapes |= norm("head.conv5.1", channels)
    if lateral:
        for i, size in enumerate((c2, c3)):
            shapes |= conv(f"head.connect.{i}.0", channels, size, 1, 1)
            shapes |= norm(f"head.connect.{i}.1", channels)
        shapes |= conv("head.fusion.0", channels, 3 * channels, 3, 3)
        shapes |= norm("head.fusion.1", channels)
    encoding = "head.encmodule.encoding"
    shapes |= conv(f"{encoding}.0", channels, channels, 1, 1) | norm(f"{encoding}.1", channels)
    shapes |= {
        f"{encoding}.3.codewords": (codewords, channels),
        f"{encoding}.3.scale": (codewords,),
    }
    shapes |= norm(f"{encoding}.4", codewords)
    shapes |= affine("head.encmodule.fc.0", channels, channels)
    if presence:
        shapes |= affine("head.encmodule.selayer", classes, channels)
    shapes |= affine("head.conv6.1", classes, channels, 1, 1)
    if auxiliary:
        shapes |= conv("auxlayer.conv5.0", c3 // 4, c3, 3, 3) | norm("auxlayer.conv5.1", c3 // 4)
        shapes |= affine("auxlayer.conv5.4", classes, c3 // 4, 1, 1)
    return shapes


def pyramid_upsampling(width, sizes):
    shapes = {}
    for i, size in enumerate(sizes, start=3):
        shapes |= conv(f"jpu.conv{i}.0", width, size, 3, 3) | norm(f"jpu.conv{i}.1", width)
    for i in (1, 2, 3, 4):
        name = f"jpu.dilation{i}"
        shapes |= conv(f"{name}.0.conv1", 3 * width, 1, 3, 3) | norm(f"{name}.0.bn", 3 * width)
        shapes |= conv(f"{name}.0.pointwise", width, 3 * width, 1, 1) | norm(f"{name}.1", width)
    return shapes


# Prefixes of the official code's names and of mmsegmentation's.
RENAMED = {
    "pretrained.": "backbone.",
    "head.conv5.0": "decode_head.bottleneck.conv",
    "head.conv5.1": "decode_head.bottleneck.bn",
    "head.connect.0.0": "decode_head.lateral_convs.0.conv",
    "head.connect.0.1": "decode_head.lateral_convs.0.bn",
    "head.connect.1.0": "decode_head.lateral_convs.1.conv",
    "head.connect.1.1": "decode_head.lateral_convs.1.bn",
    "head.fusion.0": "decode_head.fusion.conv",
    "head.fusion.1": "decode_head.fusion.bn",
    "head.encmodule.encoding.0": "decode_head.enc_module.encoding_project.conv",
    "head.encmodule.encoding.1": "decode_head.enc_module.encoding_project.bn",
    "head.encmodule.encoding.3": "decode_head.enc_module.encoding.0",
    "head.encmodule.encoding.4": "decode_head.enc_module.encoding.1",
    "head.encmodule.fc.0": "decode_head.enc_module.fc.0",
    "head.encmodule.selayer": "decode_head.se_layer",
    "head.conv6.1": "decode_head.conv_seg",
    "auxlayer.conv5.0": "auxiliary_head.convs.0.conv",
    "auxlayer.conv5.1": "auxiliary_head.convs.0.bn",
    "auxlayer.conv5.4": "auxiliary_head.conv_seg",
    **{
        f"jpu.conv{i + 3}.{j}": f"neck.conv_layers.{i}.0.{part}"
        for i in range(3)
        for j, part in enumerate(("conv", "bn"))
    },
    **{
        f"jpu.dilation{i + 1}.{before}": f"neck.dilation_layers.{i}.0.{after}"
        for i in range(4)
        for before, after in {
            "0.conv1": "depthwise_conv.conv",
            "0.bn": "depthwise_conv.bn",
            "0.pointwise": "pointwise_conv.conv",
            "1": "pointwise_conv.bn",
        }.items()
    },
}


def mmsegmentation(stem_kind=("stem", 32, 64), **options):
    """Returns the shapes of `official` under mmsegmentation's names."""
    return {rename(name): shape for name, shape in official(stem_kind=stem_kind, **options).items()}


def rename(name):
    for before, after in RENAMED.items():
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name


def cifar(width=64, codewords=16, classes=10):
    """Returns the shapes of the official CIFAR network, or of its baseline without codewords."""
    shapes = affine("model.0", width, 3, 3, 3) | norm("model.1", width)
    before = width
    for stage, after in enumerate((width, 2 * width, 4 * width), start=3):
        for block in range(2):
            name = f"model.{stage}.{block}"
            if codewords:
                shapes |= _encoding_block(name, before, after, codewords)
            else:
                shapes |= norm(f"{name}.conv_block.0", before)
                shapes |= conv(f"{name}.conv_block.2", after, before, 3, 3)
                shapes |= norm(f"{name}.conv_block.3", after)
                shapes |= conv(f"{name}.conv_block.5", after, after, 3, 3)
            if before != after:
                shapes |= affine(f"{name}.residual_layer", after, before, 1, 1)
            before = after
    return shapes | norm("model.6", before) | affine("model.10", classes, before)


def _encoding_block(name, before, after, codewords):
    code = after // 4
    return {
        **conv(f"{name}.conv1", after, before, 3, 3),
        **norm(f"{name}.bn1", after),
        **conv(f"{name}.conv2", after, after, 3, 3),
        **norm(f"{name}.bn2", after),
        **affine(f"{name}.se.fc.0", code, after, 1, 1),
        **norm(f"{name}.se.fc.1", code),
        f"{name}.se.fc.3.codewords": (codewords, code),
        f"{name}.se.fc.3.scale": (codewords,),
        **affine(f"{name}.se.fc.6", after, codewords * code),
    }


def empty(shapes):
    """Returns tensors of these shapes that take no memory."""
    return {name: np.broadcast_to(np.float32(0.5), shape) for name, shape in shapes.items()}
