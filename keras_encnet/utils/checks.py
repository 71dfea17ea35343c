"""Checks of arguments that several modules share."""

import dataclasses
import math
import numbers
import os
from collections.abc import Iterable, Mapping
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `minimum` to `maximum`, both included unless `open`."""

    minimum: float = -math.inf
    maximum: float = math.inf
    open: bool = False

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, numbers.Real):
            return False
        number = float(value)
        if self.open:
            return self.minimum < number < self.maximum
        return self.minimum <= number <= self.maximum

    def __str__(self) -> str:
        if self.maximum < math.inf:
            limits = "between {} and {}, exclusive" if self.open else "from {} to {}"
            return limits.format(self.minimum, self.maximum)
        if self.minimum == -math.inf:
            return ""
        return f"above {self.minimum}" if self.open else f"at least {self.minimum}"


def is_count(value: Any, least: int) -> bool:
    """Returns whether `value` is an integer, not a boolean, of at least `least`."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_integer and int(value) >= least


def check_count(name: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Raises ValueError unless `value` is an integer from `least` to `most`."""
    if not is_count(value, least) or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}` must be an integer {allowed}. Received: {name}={value!r}")


def check_classes(classes: int) -> None:
    """Raises ValueError unless `classes` is an integer of at least 2."""
    if not is_count(classes, least=2):
        raise ValueError(
            "`classes` must be an integer of at least 2: for a single kind of object, count the "
            f"background as a class. Received: classes={classes}"
        )


def check_input_shape(input_shape: Any) -> None:
    """Raises ValueError unless `input_shape` is that of images with the channels last."""
    shape = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else ()
    channels_first = shape[:1] in ((1,), (3,)) and shape[-1] not in (1, 3, 4)
    if len(shape) != 3 or shape[-1] is None or channels_first:
        raise ValueError(
            "`input_shape` must be `(height, width, channels)`, channels last; height and width "
            f"may be None: `(None, None, 3)` for RGB images. Received: input_shape={input_shape}"
        )


KINDS_OF_BACKBONES = (
    "a model from images to a dict with the keys `stage1` to `stage4`, such as "
    "`keras_encnet.backbones.ResNet50()`; a network for classification, such as those of Keras "
    "Applications; a backbone of keras-hub with `pyramid_outputs`; or "
    "`keras_encnet.backbones.as_backbone(model, layers=(...))` with the names of four layers"
)


def check_backbone(backbone: Any) -> None:
    """Raises ValueError unless `backbone` is a model."""
    if not isinstance(backbone, keras.Model):
        raise ValueError(
            f"`backbone` must be {KINDS_OF_BACKBONES}. `keras_encnet.EncNet50` and the like "
            f"build it themselves. Received: backbone={backbone!r}"
        )


def check_stages(stages: Any, required: Iterable[str] = ("stage3", "stage4")) -> None:
    """Raises ValueError unless `stages` is a dict with at least the required keys."""
    if not isinstance(stages, Mapping) or not set(required) <= set(stages):
        raise ValueError(
            f"`backbone` must be {KINDS_OF_BACKBONES}. This head requires {', '.join(required)}. "
            f"Received: output={stages}"
        )


def check_one_size(images: keras.KerasTensor, stages: Mapping[str, keras.KerasTensor]) -> None:
    """Raises ValueError unless the stages have the same height and width."""
    network = keras.Model(images, dict(stages))
    shapes = network.compute_output_shape((1, 64, 64, images.shape[-1]))
    sizes = {stage: tuple(shape[1:3]) for stage, shape in shapes.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            "`lateral=True` joins stages of the same size: build the backbone with "
            f"`output_stride=8`. Received, for an image of 64 x 64: {sizes}"
        )


def check_weights(weights: str | os.PathLike | None, names: Iterable[str] = ()) -> None:
    """Raises ValueError unless `weights` is None or an existing file.

    Args:
        weights: the argument of a builder.
        names: the published weights of the network, which the message lists.
    """
    if weights is not None and not os.path.isfile(weights):
        published = f": {', '.join(names)}" if names else "; this network has none"
        raise ValueError(
            "`weights` must be None (random initialization), the path of a `.weights.h5` file, or "
            f"the name of published weights{published}. Received: weights={weights!r}"
        )
