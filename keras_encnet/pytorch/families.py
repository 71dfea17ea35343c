"""Which published networks are recognized, and how the Keras model of each is built."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping

from keras_encnet import backbones
from keras_encnet.models import FCN, EncNet, EncNet14, ResNet14
from keras_encnet.pytorch import names
from keras_encnet.pytorch.names import holds, size_of


@dataclasses.dataclass(frozen=True)
class Family:
    """Networks that share their names.

    Attributes:
        title: what an error calls them.
        mark: the beginning of a name that none of the families below has.
        build: a function of the checkpoint's shapes by name, of `parts` and,
            by name, of options, which returns the Keras model and a dict of
            the names of its layers (more are allowed) to those of their modules.
        parts: names of layers to names of modules, as far as all have them.
        options: the options of `from_pytorch` that `build` takes. `classes`
            among them is always given.
        class_layers: the layers with one row a class, all of them in `parts`.
        ignored: beginnings of names that the model has no use for.
    """

    title: str
    mark: str
    build: Callable
    parts: Mapping = dataclasses.field(default_factory=dict)
    options: tuple = ("input_shape", "output_stride")
    class_layers: tuple = ()
    ignored: tuple = ()

    def classes(self, shapes):
        """Returns of how many classes the checkpoint is."""
        return size_of(shapes, *(self.parts[layer] for layer in self.class_layers))


def recognize(shapes):
    """Returns the first family of which the checkpoint has the mark.

    Raises:
        ValueError: if there is none.
    """
    for family in FAMILIES:
        if any(name.startswith(family.mark) for name in shapes):
            return family
    raise ValueError(
        f"Expected the checkpoint of one of: {', '.join(family.title for family in FAMILIES)}. "
        f"Received: names {list(shapes)[:5]}"
    )


def _backbone(shapes, prefix, input_shape=(None, None, 3), output_stride=8):
    structure, layers = names.resnet_structure(shapes, prefix)
    depth = 2 + sum(structure["blocks"]) * (3 if structure["bottleneck"] else 2)
    backbone = backbones.ResNet(
        **structure,
        input_shape=input_shape,
        output_stride=output_stride,
        stride_on="3x3",
        name=f"resnet{depth}",
    )
    return backbone, layers, depth


def _resnet(shapes, parts, **options):
    backbone, layers, _ = _backbone(shapes, prefix="", **options)
    return backbone, layers | parts


def _encnet(shapes, parts, classes, variant, prefix, align_corners=None, **options):
    backbone, layers, depth = _backbone(shapes, prefix, **options)
    auxiliary, presence, lateral = (
        any(holds(shapes, module) for layer, module in parts.items() if layer.startswith(part))
        for part in ("segmentation_stage3", "presence", ("lateral", "fusion"))
    )
    model = EncNet(
        backbone,
        classes=classes,
        variant=variant,
        num_codewords=size_of(shapes, parts["context_bn"], parts["context_encoding"]),
        channels=size_of(shapes, parts["head_bn"], parts["head_conv"]),
        auxiliary="fcn" if auxiliary else "none",
        lateral=lateral,
        align_corners=align_corners,
        # Trained without the SE-loss, a network has no such layer.
        outputs=None if presence else ("segmentation",) + ("segmentation_stage3",) * auxiliary,
        name=f"encnet{depth}",
    )
    return model, layers | parts


def _official_encnet(shapes, parts, **options):
    if "pretrained.conv1.weight" in shapes:
        warnings.warn(
            "This checkpoint has the plain stem of the releases before September 2018, which "
            "assigned pixels to codewords by a softmax over pixels. The Keras model takes it over "
            "codewords, as the paper and all later releases do: from weights of that age it "
            "computes something else than they were trained for.",
            stacklevel=3,
        )
    return _encnet(shapes, parts, variant="official", prefix="pretrained.", **options)


def _official_fcn(shapes, parts, classes, align_corners=True, **options):
    backbone, layers, depth = _backbone(shapes, prefix="pretrained.", **options)
    model = FCN(
        backbone,
        classes=classes,
        auxiliary="fcn" if holds(shapes, "auxlayer") else "none",
        align_corners=align_corners,
        name=f"fcn{depth}",
    )
    return model, layers | parts


def _cifar_resnet(shapes, parts, build=ResNet14, **options):
    width = size_of(shapes, parts["stem_bn"], parts["stem_conv"])
    return build(width, classifier_activation=None, **options), parts


def _cifar_encnet(shapes, parts, **options):
    codewords = size_of(shapes, *(module for name, module in parts.items() if "encoding" in name))
    build = functools.partial(EncNet14, num_codewords=codewords)
    return _cifar_resnet(shapes, parts, build, **options)


SEGMENTATION = {
    "options": ("input_shape", "output_stride", "classes", "align_corners"),
    "ignored": ("pretrained.fc.",),
}
FAMILIES = (
    Family(
        "PyTorch-Encoding's EncNet",
        mark="head.encmodule.",
        build=_official_encnet,
        parts=names.OFFICIAL_ENCNET,
        class_layers=("segmentation_logits", "presence", "segmentation_stage3_logits"),
        **SEGMENTATION,
    ),
    Family(
        "PyTorch-Encoding's FCN",
        mark="head.conv5.4.",
        build=_official_fcn,
        parts=names.OFFICIAL_FCN,
        class_layers=("segmentation_logits", "segmentation_stage3_logits"),
        **SEGMENTATION,
    ),
    Family(
        "mmsegmentation's EncNet",
        mark="decode_head.enc_module.",
        build=functools.partial(_encnet, variant="mmsegmentation", prefix="backbone."),
        parts=names.MMSEGMENTATION_ENCNET,
        class_layers=("segmentation_logits", "presence", "segmentation_stage3_logits"),
        **SEGMENTATION,
    ),
    Family(
        "PyTorch-Encoding's EncNet for CIFAR",
        mark="model.3.0.se.fc.",
        build=_cifar_encnet,
        parts=names.cifar(names.CIFAR_ENCODING_BLOCK),
        options=("input_shape", "classes", "stochastic_scale"),
        class_layers=("predictions",),
    ),
    Family(
        "PyTorch-Encoding's ResNet for CIFAR",
        mark="model.3.0.conv_block.",
        build=_cifar_resnet,
        parts=names.cifar(names.CIFAR_PRE_ACTIVATION_BLOCK),
        options=("input_shape", "classes"),
        class_layers=("predictions",),
    ),
    Family("a ResNet with torchvision's names", mark="layer1.0.", build=_resnet, ignored=("fc.",)),
)
