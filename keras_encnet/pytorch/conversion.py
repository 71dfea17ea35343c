"""Conversion of a PyTorch checkpoint to the Keras model that computes the same."""

import dataclasses
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_encnet.graph.channels import RGB, fitted, image_convolutions
from keras_encnet.layers import BatchNormalization, DilatedConv2D, Encoding, FeatureMapAttention
from keras_encnet.pytorch.families import Family, recognize
from keras_encnet.pytorch.reading import read_tensors, renamed, to_numpy
from keras_encnet.utils.sizes import Size

# Per layer type, its weights: PyTorch's name, and PyTorch's axes in the order of Keras's.
VECTOR, LINEAR, CONVOLUTION, DEPTHWISE = (0,), (1, 0), (2, 3, 1, 0), (2, 3, 0, 1)
WEIGHTS: dict[type, dict[str, tuple[str, tuple[int, ...]]]] = {
    keras.layers.Conv2D: {"kernel": ("weight", CONVOLUTION), "bias": ("bias", VECTOR)},
    keras.layers.DepthwiseConv2D: {"kernel": ("weight", DEPTHWISE), "bias": ("bias", VECTOR)},
    keras.layers.Dense: {"kernel": ("weight", LINEAR), "bias": ("bias", VECTOR)},
    BatchNormalization: {
        "gamma": ("weight", VECTOR),
        "beta": ("bias", VECTOR),
        "moving_mean": ("running_mean", VECTOR),
        "moving_variance": ("running_var", VECTOR),
    },
    DilatedConv2D: {"kernel": ("weight", CONVOLUTION), "bias": ("bias", VECTOR)},
    Encoding: {"codewords": ("codewords", (0, 1)), "scale": ("scale", VECTOR)},
    FeatureMapAttention: {"kernel": ("weight", LINEAR), "bias": ("bias", VECTOR)},
}
# Counters of batch normalization and of averaged models, which inference does not use.
COUNTERS = ("num_batches_tracked", "n_averaged")
# An error names this many tensors of each kind at most.
MOST_NAMED = 20


class Target(NamedTuple):
    """The Keras variable that a tensor is assigned to.

    Attributes:
        layer: name of the layer.
        variable: the variable.
        axes: PyTorch's axes in the order of Keras's.
    """

    layer: str
    variable: keras.Variable
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in PyTorch's order of axes."""
        return tuple(self.variable.shape[self.axes.index(i)] for i in range(len(self.axes)))


@dataclasses.dataclass(frozen=True)
class Network:
    """The model built for a checkpoint.

    Attributes:
        model: the Keras model, with random weights.
        targets: a `Target` per tensor, by PyTorch's name.
        classes: number of classes of the checkpoint, None for a bare backbone.
        new_layers: layers that keep random weights because the model has another number of
            classes.
        first_layers: the convolutions of the images, which may be of RGB images in the checkpoint.
    """

    model: keras.Model
    targets: dict[str, Target]
    classes: int | None
    new_layers: tuple[str, ...]
    first_layers: Collection[str]

    def expected_shapes(self, found: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
        """Returns the shape that each tensor of the checkpoint must have.

        Args:
            found: the shapes in the checkpoint.
        """
        return {name: self._stored_shape(t, found.get(name)) for name, t in self.targets.items()}

    def _stored_shape(self, target, found):
        if target.layer in self.new_layers:
            return (self.classes, *target.shape[1:])
        if target.layer in self.first_layers and len(target.shape) == 4 and found != target.shape:
            filters, _, *kernel_size = target.shape
            return (filters, RGB, *kernel_size)
        return target.shape


def from_pytorch(
    checkpoint: str | os.PathLike | Mapping[str, Any],
    classes: int | None = None,
    align_corners: bool | None = None,
    output_stride: int | None = None,
    input_shape: Sequence[int | None] | None = None,
    stochastic_scale: bool = False,
    include_preprocessing: bool = True,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    working_size: Size = None,
) -> keras.Model:
    """Builds the Keras model of a published PyTorch checkpoint, with its weights.

    The network is recognized by the names of the tensors: EncNet, FCN, PSPNet and DeepLabv3 of the
    official code (PyTorch-Encoding) and of mmsegmentation, with or without the joint pyramid
    upsampling of FastFCN, the CIFAR networks of the official code, and ResNets with torchvision's
    names, including timm's with a deep stem. Depth, width, stem, neck, lateral connections,
    auxiliary head, and numbers of classes and codewords are read from names and shapes. A missing,
    unexpected or misshapen tensor is an error, so the model computes what was published.

    Example (a file requires the package torch):

        model = keras_encnet.from_pytorch("encnet_resnet50s_ade-07ac287c.zip")
        classes = model.segment(images)

    Args:
        checkpoint: a file (`.pth`, `.pth.tar` or `.zip`, in PyTorch's old or new serialization or
            an archive of one such file), or a mapping of names to arrays, such as a state dict.
            The mapping may be nested in `state_dict`, `model_state_dict` or `model`. Names may
            have the prefixes of `DataParallel`, `torch.compile` and Lightning: `module.`,
            `_orig_mod.`, `model.`. No code in a file is run: other objects in it, such as the
            message hub of MMEngine, are ignored.
        classes: number of classes, by default that of the checkpoint. For another number, layers
            that depend on it keep random weights, and a warning names them.
        align_corners: how logits are upsampled. Defaults to True for the official code and to
            False for mmsegmentation. mmsegmentation's 769x769 checkpoints require True, which
            cannot be read from the file.
        output_stride: output stride of the ResNet, 8 (default), 16 or 32; with a neck 32.
        input_shape: `(height, width, channels)`. Any size by default, and RGB. For another number
            of channels, the kernels for RGB are repeated and scaled by `3 / channels`; one channel
            gets their sum.
        stochastic_scale: whether the Encoding layers of a CIFAR EncNet are those of `encnetdrop`,
            which uses random smoothing factors in training and -0.5 at inference instead of the
            stored ones. This cannot be read from the file.
        include_preprocessing: whether the model normalizes its images. False builds it on images
            normalized by `preprocess_input(images, "torch")`, CIFAR networks by `"cifar10"`.
        mean: mean of the raw images, a number or one per channel, see `ImageNormalization`.
        std: standard deviation of the raw images, as `mean`.
        working_size: size at which the network sees images in `segment`, `predict` and `evaluate`,
            see `SegmentationModel`. By default their own; the official code's protocol has 520.

    Returns:
        A `SegmentationModel` with the outputs `segmentation`, for EncNet `presence`, and, if the
        checkpoint has the auxiliary head, `segmentation_stage3`; for a CIFAR network a
        `ClassificationModel` with logits; for a bare ResNet a `keras.Model` with the outputs
        `stage1` to `stage4`, without the classifier. Images are RGB, uint8 or float in 0 to 255.

    Raises:
        ValueError: for a file that cannot be read or contains more than tensors; for an unknown
            network; for tensors that do not fit, with their names; for an option that the network
            does not have.
        MissingPackageError: for a file, if torch is not installed.
        OSError: if a file cannot be opened.
        TypeError: if `checkpoint` is neither a path nor a mapping.

    References:
        - https://github.com/zhanghang1989/PyTorch-Encoding
        - https://github.com/wuhuikai/FastFCN
        - https://github.com/open-mmlab/mmsegmentation/tree/main/configs/encnet
    """
    options = {
        "classes": classes,
        "align_corners": align_corners,
        "output_stride": output_stride,
        "input_shape": input_shape,
        "stochastic_scale": stochastic_scale or None,
        "include_preprocessing": None if include_preprocessing else False,
        "mean": mean,
        "std": std,
        "working_size": working_size,
    }
    options = {name: value for name, value in options.items() if value is not None}
    tensors = {n: t for n, t in read_tensors(checkpoint).items() if not n.endswith(COUNTERS)}
    family, prefix = recognize(tensors)
    tensors = renamed(tensors, lambda name: name.removeprefix(prefix))
    tensors = {n: t for n, t in tensors.items() if not n.startswith(family.ignored)}
    network = _build(family, tensors, options)
    _check_fit(tensors, network, family, checkpoint)
    _assign(tensors, network)
    if network.new_layers:
        weighted = dict.fromkeys(target.layer for target in network.targets.values())
        names = [name for name in weighted if name in network.new_layers]
        warnings.warn(
            f"The checkpoint has {network.classes} classes, not {classes}. These layers keep "
            f"random weights and must be trained: {', '.join(names)}",
            stacklevel=2,
        )
    return network.model


def _build(family: Family, tensors: Mapping[str, Any], options: dict[str, Any]) -> Network:
    """Builds the Keras model that a checkpoint is for."""
    unknown = {name: value for name, value in options.items() if name not in family.options}
    if unknown:
        raise ValueError(
            f"Unknown options for {family.title}. Valid options: {', '.join(family.options)}. "
            f"Received: {', '.join(f'{name}={value!r}' for name, value in unknown.items())}"
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    stored = family.classes(shapes) if family.class_layers else None
    if stored:
        options = {"classes": stored, **options}
    model, modules = family.build(shapes, family.parts, **options)
    new_layers = () if options.get("classes") == stored else family.class_layers
    first_layers = image_convolutions(model)
    return Network(model, _targets(model, modules), stored, new_layers, first_layers)


def _targets(model, modules):
    """Returns the `Target` of each tensor, by PyTorch's name."""
    targets = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        for weight, (leaf, axes) in WEIGHTS[type(layer)].items():
            variable = getattr(layer, weight)
            if variable is not None:
                name = f"{modules[layer.name]}.{leaf}"
                targets[name] = Target(layer.name, variable, axes)
    return targets


def _check_fit(tensors, network, family, checkpoint):
    """Raises ValueError with the names of all tensors that do not fit."""
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = network.expected_shapes(found)
    kinds = {
        "Missing": [f"{n} {shape}" for n, shape in expected.items() if n not in found],
        "Unexpected": [f"{n} {shape}" for n, shape in found.items() if n not in expected],
        "Misshapen": [
            f"{n} {found[n]} instead of {shape}"
            for n, shape in expected.items()
            if found.get(n, shape) != shape
        ],
    }
    problems = [
        f"{kind} ({len(names)}): {'; '.join(names[:MOST_NAMED])}"
        + ("; ..." if len(names) > MOST_NAMED else "")
        for kind, names in kinds.items()
        if names
    ]
    if problems:
        is_path = isinstance(checkpoint, (str, os.PathLike))
        received = repr(os.fspath(checkpoint)) if is_path else f"a mapping of {len(found)} tensors"
        raise ValueError(
            f"The checkpoint does not fit {family.title}, built for it as "
            f"{network.model.name!r}.\n"
            + "\n".join(problems)
            + f"\nReceived: checkpoint={received}"
        )


def _assign(tensors, network):
    """Assigns the tensors to their variables and removes them from `tensors`.

    Removing each one keeps the memory near the size of the weights.
    """
    for name, target in network.targets.items():
        if target.layer not in network.new_layers:
            value = np.transpose(to_numpy(tensors.pop(name)), target.axes)
            if target.layer in network.first_layers and value.ndim == 4:
                [value] = fitted([value], target.variable.shape)
            target.variable.assign(value)
