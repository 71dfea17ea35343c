"""The stages of a network for classification, found in its graph."""

import math
from collections import defaultdict
from collections.abc import Sequence

import keras

from keras_encnet.graph.rebuilding import calls
from keras_encnet.utils.checks import KINDS_OF_BACKBONES
from keras_encnet.utils.compat import producer_of
from keras_encnet.utils.keras_files import first_sentence

STRIDES = {"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32}
# Height and width at which strides are determined if the network takes images of any size: so
# large that no padding changes the power of two that is closest to a stride.
SIZE = 512
_BORDERS = (keras.layers.ZeroPadding2D, keras.layers.Cropping2D)


def find_stages(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Returns the features at which the stages of a network end.

    A stage ends at its last features that all features of lower resolution depend on (or most, if
    there are none): the sum of a residual block, or the expanded features of a block that then
    reduces their size. Normalization and activation before the reduction belong to the stage.
    Stage 4 ends at the last features of stride 32, before pooling over the image and classifiers.

    Args:
        model: a functional model from images to any output.

    Returns:
        A dict from `stage1` to `stage4` to the tensors of strides 4, 8, 16 and 32.

    Raises:
        ValueError: if the network lacks one of these strides.
    """
    graph = _Graph(model)
    stages = {name: graph.end(int(math.log2(stride))) for name, stride in STRIDES.items()}
    missing = [STRIDES[name] for name, tensor in stages.items() if tensor is None]
    if missing:
        raise ValueError(
            "The stages of `backbone` are found if it has features of the strides 4, 8, 16 and 32, "
            f"from images of at least 64 x 64. Otherwise, it must be {KINDS_OF_BACKBONES}. "
            f"Received: backbone={model.name!r} on images {model.inputs[0].shape}, without the "
            f"strides {missing}"
        )
    return stages


class _Graph:
    """The feature maps of a model in the order of execution, with their strides."""

    def __init__(self, model):
        nodes = calls(model)
        self.tensors = [model.inputs[0], *(x for node in nodes for x in node.outputs)]
        levels = _levels(model, self.tensors)
        self.positions = {id(x): i for i, x in enumerate(self.tensors)}
        self.levels = dict(zip(self.positions, levels, strict=True))
        # Bit i: whether tensor i is the tensor itself, or one that it is computed from.
        self.ancestors = {id(x): 1 << i for i, x in enumerate(self.tensors)}
        self.depths = dict.fromkeys(self.positions, 0)
        self.reduced = defaultdict(list)  # by level, those from which a lower resolution is made
        sources = {}
        for node in nodes:
            inputs = [x for x in node.input_tensors if id(x) in self.positions]
            for y in node.outputs:
                for x in inputs:
                    self.ancestors[id(y)] |= self.ancestors[id(x)]
                    self.depths[id(y)] = max(self.depths[id(y)], self.depths[id(x)] + 1)
                    if isinstance(producer_of(y), _BORDERS):
                        sources[id(y)] = sources.get(id(x), x)
                    if None not in (a := self.levels[id(x)], b := self.levels[id(y)]) and b > a:
                        self.reduced[a].append(sources.get(id(x), x))

    def end(self, level):
        """Returns the last tensor of this level that features of higher levels depend on."""

        def dependents(i):
            return sum(self.ancestors[id(x)] >> i & 1 for x in self.reduced[level])

        candidates = {
            (dependents(i), self.depths[id(x)]): x
            for i, x in enumerate(self.tensors)
            if self.levels[id(x)] == level and not isinstance(producer_of(x), _BORDERS)
        }
        return candidates[max(candidates)] if candidates else None


def log2_stride(size: Sequence[int], shape: Sequence[int]) -> int:
    """Returns log2 of the stride of features, rounded, as padding changes their size a little.

    Args:
        size: height and width of the images.
        shape: shape of the features, `(batch, height, width, channels)`.
    """
    return round(math.log2(max(size) / max(shape[1:3])))


def _levels(model, tensors):
    """Returns log2 of the stride of each tensor, rounded; None for those without an extent."""
    images = model.inputs[0]
    size = tuple(side or SIZE for side in images.shape[1:3])
    probe = keras.Model(images, tensors)
    try:
        shapes = probe.compute_output_shape((1, *size, images.shape[-1]))
    except ValueError as error:  # as NASNet, which Keras builds incorrectly for unknown sizes
        raise ValueError(
            f"`backbone` cannot run on images of {size[0]} x {size[1]} pixels "
            f"({first_sentence(error)}). Build it for images of a known size, or a network of "
            "Keras Applications with `keras_encnet.backbones.from_keras_applications`. Received: "
            f"backbone={model.name!r}"
        ) from error

    def level(shape):
        if len(shape) != 4 or None in shape[1:3] or min(shape[1:3]) < 2:
            return None
        return log2_stride(size, shape)

    return [level(shape) for shape in shapes]
