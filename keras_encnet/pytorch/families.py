"""The published networks that are recognized, and how to build the Keras model of each."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterable, Mapping

import keras

from keras_encnet import backbones
from keras_encnet.models import FCN, DeepLabV3, EncNet, EncNet14, PSPNet, ResNet14
from keras_encnet.models.structure import options_of, resolve
from keras_encnet.pytorch import names
from keras_encnet.pytorch.names import Shapes, holds, size_of

# The names of the models, to which their depth is added.
NAMES = {FCN: "fcn", PSPNet: "pspnet", DeepLabV3: "deeplabv3_"}
# Options of `from_pytorch` about the images, which all families have.
IMAGE_OPTIONS = ("input_shape", "include_preprocessing", "mean", "std")


@dataclasses.dataclass(frozen=True)
class Family:
    """Published networks whose tensors have the same names.

    Attributes:
        title: name in error messages.
        mark: prefix of tensor names by which the family is recognized. Families are tried in the
            order of `FAMILIES`; no later family has the prefix.
        build: function of the shapes of a checkpoint by name, of `parts`, and of options as
            keywords. Returns the Keras model and a dict from names of layers (possibly more than
            the model has) to names of PyTorch modules.
        parts: dict from names of layers to names of modules, for layers whose names do not depend
            on the checkpoint.
        options: options of `from_pytorch` that `build` accepts. `classes`, if among them, is
            always passed.
        class_layers: layers with one row per class, all of them in `parts`.
        ignored: prefixes of tensor names that the model does not use.
    """

    title: str
    mark: str
    build: Callable[..., tuple[keras.Model, dict[str, str]]]
    parts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    options: tuple[str, ...] = (*IMAGE_OPTIONS, "output_stride")
    class_layers: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def classes(self, shapes: Shapes) -> int:
        """Returns the number of classes of a checkpoint."""
        return size_of(shapes, *(self.parts[layer] for layer in self.class_layers))


def recognize(names: Iterable[str]) -> tuple[Family, str]:
    """Returns the family of a checkpoint, and a prefix of its names that is not the family's.

    A module that contains the network, such as one of Lightning, adds the name of its attribute
    to all names of the network: `model.` or any other, if it has no other tensors.

    Args:
        names: the names of its tensors.

    Raises:
        ValueError: if the family is unknown.
    """
    names = list(names)
    outer = {f"{name.partition('.')[0]}." for name in names}
    for prefix in ("", "model.", *(outer if len(outer) == 1 else ())):
        for family in FAMILIES:
            if any(name.startswith(prefix + family.mark) for name in names):
                return family, prefix
    raise ValueError(
        "Unknown network. Expected the checkpoint of one of: "
        f"{', '.join(family.title for family in FAMILIES)}. Received: names {names[:5]}"
    )


def _backbone(shapes, prefix, values, include_preprocessing=True, **options):
    """Builds the ResNet of a checkpoint; `values` are those of its structural options."""
    structure, layers = names.resnet_structure(shapes, prefix)
    depth = 2 + sum(structure["blocks"]) * (3 if structure["bottleneck"] else 2)
    backbone = backbones.ResNet(
        **{name: values[name] for name in options_of("resnet")} | structure,
        **options,
        preprocessing="torch" if include_preprocessing else None,
        name=f"resnet{depth}",
    )
    return backbone, layers, depth


def _resnet(shapes, parts, output_stride=None, **options):
    # The official code's ResNets have the names of torchvision's, which cannot be dilated.
    values = resolve(("resnet",), "official", {"output_stride": output_stride})
    backbone, layers, _ = _backbone(shapes, "", values, **options)
    return backbone, layers | parts


def _common(shapes, parts, variant, align_corners):
    """Returns the options of a checkpoint that all heads have."""
    auxiliary = "fcn" if _has(shapes, parts, "segmentation_stage3") else "none"
    options = {"auxiliary": auxiliary, "align_corners": align_corners}
    if not _has(shapes, parts, "neck_"):
        return options
    stages = [module for layer, module in parts.items() if layer.startswith("neck_stage")]
    options |= {"neck": "jpu", "neck_width": size_of(shapes, *stages)}
    # The official code has one setting for all resizing, mmsegmentation one for each part.
    return options | ({"neck_align_corners": align_corners} if variant == "official" else {})


def _encnet(
    shapes,
    parts,
    classes,
    variant,
    prefix,
    align_corners=None,
    output_stride=None,
    working_size=None,
    **options,
):
    structure = _common(shapes, parts, variant, align_corners) | {
        "num_codewords": size_of(shapes, parts["context_bn"], parts["context_encoding"]),
        "channels": size_of(shapes, parts["head_bn"], parts["head_conv"]),
        "lateral": _has(shapes, parts, "lateral", "fusion"),
    }
    values = resolve(("resnet", "encnet"), variant, structure | {"output_stride": output_stride})
    backbone, layers, depth = _backbone(shapes, prefix, values, **options)
    masks = ("segmentation", "segmentation_stage3")[: 1 + (values["auxiliary"] == "fcn")]
    model = EncNet(
        backbone,
        classes=classes,
        variant=variant,
        **structure,
        # A network trained without the SE-loss has no presence layer.
        outputs=None if _has(shapes, parts, "presence") else masks,
        include_preprocessing=options.get("include_preprocessing", True),
        working_size=working_size,
        name=f"encnet{depth}",
    )
    return model, layers | parts


def _official_encnet(shapes, parts, **options):
    if "pretrained.conv1.weight" in shapes:
        warnings.warn(
            "This checkpoint has the plain stem of releases before September 2018, which assigned "
            "pixels to codewords by a softmax over pixels. The Keras model uses a softmax over "
            "codewords, like the paper and all later releases, so it does not compute what these "
            "weights were trained for.",
            stacklevel=4,  # the caller of `from_pytorch`
        )
    return _encnet(shapes, parts, **options)


def _other_head(
    shapes,
    parts,
    classes,
    network,
    variant,
    prefix,
    align_corners=None,
    output_stride=None,
    working_size=None,
    **options,
):
    """Builds a network whose variant determines its head."""
    structure = _common(shapes, parts, variant, align_corners)
    # The options above are those of any head.
    values = resolve(("resnet", "fcn"), variant, structure | {"output_stride": output_stride})
    backbone, layers, depth = _backbone(shapes, prefix, values, **options)
    model = network(
        backbone,
        classes=classes,
        variant=variant,
        **structure,
        include_preprocessing=options.get("include_preprocessing", True),
        working_size=working_size,
        name=f"{NAMES[network]}{depth}",
    )
    return model, layers | parts


def _has(shapes, parts, *prefixes):
    """Returns whether a checkpoint has a module of the layers with these prefixes."""
    return any(holds(shapes, name) for layer, name in parts.items() if layer.startswith(prefixes))


def _cifar_resnet(shapes, parts, build=ResNet14, **options):
    width = size_of(shapes, parts["stem_bn"], parts["stem_conv"])
    return build(width, classifier_activation=None, **options), parts


def _cifar_encnet(shapes, parts, **options):
    codewords = size_of(shapes, *(module for name, module in parts.items() if "encoding" in name))
    build = functools.partial(EncNet14, num_codewords=codewords)
    return _cifar_resnet(shapes, parts, build, **options)


def _segmentation(title, mark, parts, build, **settings):
    """Returns the `Family` of a segmentation network; `settings` are arguments of `build`."""
    class_layers = ("segmentation_logits", "presence", "segmentation_stage3_logits")
    return Family(
        title,
        mark,
        functools.partial(build, **settings),
        parts,
        options=(*Family.options, "classes", "align_corners", "working_size"),
        class_layers=tuple(layer for layer in class_layers if layer in parts),
        ignored=("pretrained.fc.",),
    )


OFFICIAL = {"variant": "official", "prefix": "pretrained."}
MMSEGMENTATION = {"variant": "mmsegmentation", "prefix": "backbone."}
FAMILIES = (
    _segmentation(
        "the official code's EncNet",
        "head.encmodule.",
        names.OFFICIAL_ENCNET,
        _official_encnet,
        **OFFICIAL,
    ),
    _segmentation(
        "the official code's FCN",
        "head.conv5.4.",
        names.OFFICIAL_FCN,
        _other_head,
        **OFFICIAL,
        network=FCN,
    ),
    _segmentation(
        "the official code's PSPNet",
        "head.conv5.0.conv1.",
        names.OFFICIAL_PSP,
        _other_head,
        **OFFICIAL,
        network=PSPNet,
    ),
    _segmentation(
        "the official code's DeepLabv3",
        "head.aspp.",
        names.OFFICIAL_DEEPLABV3,
        _other_head,
        **OFFICIAL,
        network=DeepLabV3,
    ),
    _segmentation(
        "mmsegmentation's EncNet",
        "decode_head.enc_module.",
        names.MMSEGMENTATION_ENCNET,
        _encnet,
        **MMSEGMENTATION,
    ),
    _segmentation(
        "mmsegmentation's FCN",
        "decode_head.conv_cat.",
        names.MMSEGMENTATION_FCN,
        _other_head,
        **MMSEGMENTATION,
        network=FCN,
    ),
    _segmentation(
        "mmsegmentation's PSPNet",
        "decode_head.psp_modules.",
        names.MMSEGMENTATION_PSP,
        _other_head,
        **MMSEGMENTATION,
        network=PSPNet,
    ),
    _segmentation(
        "mmsegmentation's DeepLabv3",
        "decode_head.aspp_modules.",
        names.MMSEGMENTATION_DEEPLABV3,
        _other_head,
        **MMSEGMENTATION,
        network=DeepLabV3,
    ),
    Family(
        "the official code's EncNet for CIFAR",
        mark="model.3.0.se.fc.",
        build=_cifar_encnet,
        parts=names.cifar(names.CIFAR_ENCODING_BLOCK),
        options=(*IMAGE_OPTIONS, "classes", "stochastic_scale"),
        class_layers=("predictions",),
    ),
    Family(
        "the official code's ResNet for CIFAR",
        mark="model.3.0.conv_block.",
        build=_cifar_resnet,
        parts=names.cifar(names.CIFAR_PRE_ACTIVATION_BLOCK),
        options=(*IMAGE_OPTIONS, "classes"),
        class_layers=("predictions",),
    ),
    Family("a ResNet with torchvision's names", mark="layer1.0.", build=_resnet, ignored=("fc.",)),
)
