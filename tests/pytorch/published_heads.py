"""Names and shapes of the tensors of FCN, PSPNet and DeepLabv3, as published."""

from tests.pytorch.published import (
    R50,
    affine,
    conv,
    norm,
    pyramid_upsampling,
    rename,
    resnet,
)


def _conv_norm(convolution, normalization, *shape):
    return conv(convolution, *shape) | norm(normalization, shape[0])


def _auxiliary(width, classes):
    inner = width // 4
    return {
        **_conv_norm("auxlayer.conv5.0", "auxlayer.conv5.1", inner, width, 3, 3),
        **affine("auxlayer.conv5.4", classes, inner, 1, 1),
    }


def _official_fcn(width, classes):
    inner = width // 4
    return {
        **_conv_norm("head.conv5.0", "head.conv5.1", inner, width, 3, 3),
        **affine("head.conv5.4", classes, inner, 1, 1),
    }


def _official_psp(width, classes):
    inner = width // 4
    shapes = _conv_norm("head.conv5.1", "head.conv5.2", inner, 2 * width, 3, 3)
    shapes |= affine("head.conv5.5", classes, inner, 1, 1)
    for i in range(1, 5):
        name = f"head.conv5.0.conv{i}"
        shapes |= _conv_norm(f"{name}.0", f"{name}.1", inner, width, 1, 1)
    return shapes


def _official_deeplabv3(width, classes):
    inner, aspp = width // 8, "head.aspp"
    shapes = _conv_norm("head.block.0", "head.block.1", inner, inner, 3, 3)
    shapes |= affine("head.block.4", classes, inner, 1, 1)
    shapes |= _conv_norm(f"{aspp}.project.0", f"{aspp}.project.1", inner, 5 * inner, 1, 1)
    shapes |= _conv_norm(f"{aspp}.b4.gap.1", f"{aspp}.b4.gap.2", inner, width, 1, 1)
    for i, size in enumerate((1, 3, 3, 3)):
        shapes |= _conv_norm(f"{aspp}.b{i}.0", f"{aspp}.b{i}.1", inner, width, size, size)
    return shapes


OFFICIAL_HEADS = {
    "fcn": _official_fcn,
    "pspnet": _official_psp,
    "deeplabv3_": _official_deeplabv3,
}


def official(
    head,
    classes=150,
    auxiliary=True,
    bottleneck=True,
    blocks=R50,
    stem_kind=("conv1", 64, 128),
    neck=None,
):
    """Returns the shapes of a network of the official code or FastFCN, by its key above.

    `neck` is the width of joint pyramid upsampling.
    """
    width = 2048 if bottleneck else 512
    shapes = resnet(blocks, bottleneck, stem_kind, prefix="pretrained.")
    if neck:
        shapes |= pyramid_upsampling(neck, (width // 4, width // 2, width))
    shapes |= OFFICIAL_HEADS[head](4 * neck if neck else width, classes)
    return shapes | (_auxiliary(width // 2, classes) if auxiliary else {})


def _modules(name, *shape):
    return _conv_norm(f"{name}.conv", f"{name}.bn", *shape)


def _mmsegmentation_fcn(width):
    inner = width // 4
    return {
        **_modules("decode_head.convs.0", inner, width, 3, 3),
        **_modules("decode_head.convs.1", inner, inner, 3, 3),
        **_modules("decode_head.conv_cat", inner, width + inner, 3, 3),
    }


def _mmsegmentation_psp(width):
    inner = width // 4
    shapes = _modules("decode_head.bottleneck", inner, 2 * width, 3, 3)
    for i in range(4):
        shapes |= _modules(f"decode_head.psp_modules.{i}.1", inner, width, 1, 1)
    return shapes


def _mmsegmentation_deeplabv3(width):
    inner = width // 4
    shapes = _modules("decode_head.bottleneck", inner, 5 * inner, 3, 3)
    shapes |= _modules("decode_head.image_pool.1", inner, width, 1, 1)
    for i, size in enumerate((1, 3, 3, 3)):
        shapes |= _modules(f"decode_head.aspp_modules.{i}", inner, width, size, size)
    return shapes


MMSEGMENTATION_HEADS = {
    "fcn": _mmsegmentation_fcn,
    "pspnet": _mmsegmentation_psp,
    "deeplabv3_": _mmsegmentation_deeplabv3,
}


def mmsegmentation(
    head,
    classes=150,
    auxiliary=True,
    bottleneck=True,
    blocks=R50,
    stem_kind=("stem", 32, 64),
    neck=None,
):
    """Returns the shapes of a network of mmsegmentation, by its key above; `neck` as above."""
    width = 2048 if bottleneck else 512
    shapes = resnet(blocks, bottleneck, stem_kind, prefix="backbone.")
    if neck:
        own = pyramid_upsampling(neck, (width // 4, width // 2, width))
        shapes |= {rename(name): shape for name, shape in own.items()}
    features = 4 * neck if neck else width
    shapes |= MMSEGMENTATION_HEADS[head](features)
    shapes |= affine("decode_head.conv_seg", classes, features // 4, 1, 1)
    if auxiliary:
        own = _auxiliary(width // 2, classes)
        shapes |= {rename(name): shape for name, shape in own.items()}
    return shapes
