"""Checks of arguments that several builders share."""

import inspect
import numbers
import os


def is_count(value, least):
    """Returns whether `value` is an integer, not a boolean, of at least `least`."""
    return (
        isinstance(value, numbers.Integral) and not isinstance(value, bool) and bool(value >= least)
    )


def check_count(name, value, least=1, most=None):
    """Raises ValueError unless `value` is an integer from `least` to `most`."""
    if not is_count(value, least) or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{name}` must be an integer {allowed}. Received: {name}={value!r}")


def check_classes(classes):
    """Raises ValueError unless `classes` is an integer of at least 2."""
    if not is_count(classes, least=2):
        raise ValueError(
            "`classes` must be an integer of at least 2: for one kind of object, count the "
            f"background as a class of its own. Received: classes={classes}"
        )


def check_stages(backbone, stages=("stage3", "stage4")):
    """Raises ValueError unless `backbone` returns a dict of its stages, these among them."""
    if not isinstance(backbone.output, dict) or not set(stages) <= set(backbone.output):
        raise ValueError(
            "`backbone` must be a model from images to a dict with the keys `stage1` to `stage4`, "
            f"such as `keras_encnet.backbones.ResNet50()`; here it takes {', '.join(stages)}. "
            f"Received: output={backbone.output}"
        )


def check_one_size(backbone, stages):
    """Raises ValueError unless `stages` have one height and width."""
    shapes = backbone.compute_output_shape((1, 64, 64, backbone.input.shape[-1]))
    sizes = {stage: tuple(shapes[stage][1:3]) for stage in stages}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            "`lateral=True` joins stages of one size: build the backbone with `output_stride=8`. "
            f"Received, for an image of 64 x 64: {sizes}"
        )


def check_options(functions, options, own=()):
    """Raises TypeError for an option that none of `functions` has, or that the caller gives."""
    known = {
        name
        for function in functions
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name not in own
    }
    unknown = sorted(set(options) - known)
    if unknown:
        raise TypeError(
            f"There are no such options, only {sorted(known)}. Received: {', '.join(unknown)}"
        )


def check_weights(weights, names=()):
    """Raises ValueError unless `weights` is None or a file that exists."""
    if weights is not None and not os.path.isfile(weights):
        raise ValueError(
            "The `weights` argument should be None (random initialization), the path of a "
            "`.weights.h5` file, or the name of published weights"
            f"{': ' + ', '.join(names) if names else ', which exist for EncNet50 and EncNet101'}. "
            f"Received: weights={weights!r}"
        )
