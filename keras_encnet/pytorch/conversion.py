"""From a PyTorch checkpoint to the Keras model that computes the same."""

import os
import warnings
from typing import NamedTuple

import keras
import numpy as np

from keras_encnet.layers import BatchNormalization, Encoding, FeatureMapAttention
from keras_encnet.pytorch.families import recognize
from keras_encnet.pytorch.reading import read_tensors, to_numpy

# Layer: its weights, each with PyTorch's name and the order of PyTorch's axes in Keras's.
VECTOR, LINEAR, CONVOLUTION = (0,), (1, 0), (2, 3, 1, 0)
WEIGHTS = {
    keras.layers.Conv2D: {"kernel": ("weight", CONVOLUTION), "bias": ("bias", VECTOR)},
    keras.layers.Dense: {"kernel": ("weight", LINEAR), "bias": ("bias", VECTOR)},
    BatchNormalization: {
        "gamma": ("weight", VECTOR),
        "beta": ("bias", VECTOR),
        "moving_mean": ("running_mean", VECTOR),
        "moving_variance": ("running_var", VECTOR),
    },
    Encoding: {"codewords": ("codewords", (0, 1)), "scale": ("scale", VECTOR)},
    FeatureMapAttention: {"kernel": ("weight", LINEAR), "bias": ("bias", VECTOR)},
}
# A step counter that inference doesn't know.
COUNTER = "num_batches_tracked"
# An error names so many tensors of each kind.
MOST_NAMED = 20


class Target(NamedTuple):
    """Where a tensor goes: the layer's name, its variable, the order of axes."""

    layer: str
    variable: keras.Variable
    axes: tuple

    @property
    def shape(self):
        """The shape in PyTorch's order of axes."""
        return tuple(self.variable.shape[self.axes.index(i)] for i in range(len(self.axes)))


def from_pytorch(
    checkpoint,
    classes=None,
    align_corners=None,
    output_stride=None,
    input_shape=None,
    stochastic_scale=False,
):
    """Builds the Keras model of a published PyTorch checkpoint, with its weights.

    It recognizes by the names in it what the checkpoint holds: EncNet and FCN
    of PyTorch-Encoding, EncNet of mmsegmentation, the CIFAR networks of
    PyTorch-Encoding, and ResNets with torchvision's names, those of timm with a
    deep stem included. Depth, width, stem, lateral connections, auxiliary head
    and numbers of classes and codewords are read from names and shapes. A
    tensor that is missing, left over or of another shape is an error, so that
    what is returned computes what was published.

    Example (a checkpoint on disk needs torch, `keras-encnet[convert]`):

        model = keras_encnet.from_pytorch("encnet_resnet50s_ade-07ac287c.zip")
        classes = model.segment(images)

    Args:
        checkpoint: a path (`.pth`, `.pth.tar`, `.zip`; PyTorch's old or new
            serialization, or an archive of one such file), or a mapping of
            names to arrays, such as a state dict. It may be wrapped in
            `state_dict`, and names may start with `module.`. Files are read
            without running anything in them.
        classes: for another number of classes than the checkpoint's: layers
            that depend on it get new random weights, and a warning names them.
        align_corners: how logits are upsampled, by default as in the family:
            true in PyTorch-Encoding, false in mmsegmentation. mmsegmentation's
            769 x 769 configurations want True, which their files don't say.
        output_stride: 8 (default), 16 or 32, of the dilated ResNet.
        input_shape: `(height, width, channels)`, any size by default.
        stochastic_scale: whether the Encoding layers of a CIFAR EncNet are
            those of `encnetdrop`, which answers with -0.5 for the stored
            smoothing factors and draws them in training. The names don't tell.

    Returns:
        A `SegmentationModel` to `segmentation`, `presence` and, where the
        checkpoint has the auxiliary head, `segmentation_stage3`; a
        `ClassificationModel` to logits for a CIFAR network; or a `keras.Model`
        to the dict `stage1` to `stage4` for a bare ResNet, whose classifier is
        left out. Images are normalized by `preprocess_input(images, "torch")`,
        those of the CIFAR networks with `"cifar10"`.

    Raises:
        ValueError: for a file that can't be read or holds more than tensors,
            an unknown network, tensors that don't fit (all are named), or an
            option that the network doesn't have.
        ImportError: for a path, without torch.
        OSError: for a file that can't be opened.
        TypeError: for anything else than a path or a mapping.

    References:
        - https://github.com/zhanghang1989/PyTorch-Encoding
        - https://github.com/open-mmlab/mmsegmentation/tree/main/configs/encnet
    """
    options = {
        "classes": classes,
        "align_corners": align_corners,
        "output_stride": output_stride,
        "input_shape": input_shape,
        "stochastic_scale": stochastic_scale or None,
    }
    options = {name: value for name, value in options.items() if value is not None}
    tensors = {n: t for n, t in read_tensors(checkpoint).items() if not n.endswith(COUNTER)}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    family = recognize(shapes)
    _check_options(options, family)
    shapes = {n: shape for n, shape in shapes.items() if not n.startswith(family.ignored)}
    stored = family.classes(shapes) if family.class_layers else None
    if stored:
        options.setdefault("classes", stored)
    model, modules = family.build(shapes, family.parts, **options)

    targets = _targets(model, modules)
    renewed = () if options.get("classes") == stored else family.class_layers
    expected = {
        name: (stored, *target.shape[1:]) if target.layer in renewed else target.shape
        for name, target in targets.items()
    }
    _check_fit(shapes, expected, family, model, checkpoint)
    for name, target in targets.items():
        if target.layer not in renewed:
            # Each is dropped when it is copied: memory stays near the size of the weights.
            target.variable.assign(np.transpose(to_numpy(tensors.pop(name)), target.axes))
    if renewed:
        layers = dict.fromkeys(target.layer for target in targets.values())
        warnings.warn(
            f"The checkpoint has {stored} classes, not {classes}: these layers have new random "
            f"weights and want training: {', '.join(name for name in layers if name in renewed)}",
            stacklevel=2,
        )
    return model


def _check_options(options, family):
    unknown = {name: value for name, value in options.items() if name not in family.options}
    if unknown:
        raise ValueError(
            f"The checkpoint is {family.title}, which takes the options {family.options} alone. "
            f"Received: {', '.join(f'{name}={value!r}' for name, value in unknown.items())}"
        )


def _targets(model, modules):
    """Returns for each tensor that the model wants, by PyTorch's name, where it goes."""
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


def _check_fit(found, expected, family, model, checkpoint):
    """Raises ValueError with all names that don't agree, unless all names and shapes do."""
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
        f"{kind} ({len(tensors)}): {'; '.join(tensors[:MOST_NAMED])}"
        + ("; ..." if len(tensors) > MOST_NAMED else "")
        for kind, tensors in kinds.items()
        if tensors
    ]
    if problems:
        is_path = isinstance(checkpoint, (str, os.PathLike))
        received = repr(os.fspath(checkpoint)) if is_path else f"a mapping of {len(found)} tensors"
        raise ValueError(
            f"The checkpoint doesn't fit {family.title}, built for it as {model.name!r}.\n"
            + "\n".join(problems)
            + f"\nReceived: checkpoint={received}"
        )
