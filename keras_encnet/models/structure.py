"""The three structures that were published, and this package's own."""

_PAPER = {
    "stem": "plain",
    "stride_on": "1x1",  # where Keras Applications' ImageNet weights have it
    "average": False,
    "reduction": "sum",
    "gating": "scale",
    "gate_bias": 0.0,
    "auxiliary": "context",
    "lateral": False,
    "align_corners": False,
    "dropout": 0.1,
    "spatial_dropout": False,
}
# What separates the paper from the two implementations with published weights, and what trains
# best. `lateral` is on in the released code for PASCAL data only.
VARIANTS = {
    "keras_encnet": {**_PAPER, "average": True},
    "paper": _PAPER,
    "official": {
        "stem": "deep_64",
        "stride_on": "3x3",
        "average": False,
        "reduction": "mean",
        "gating": "residual",
        "gate_bias": 0.0,
        "auxiliary": "fcn",
        "lateral": False,
        "align_corners": True,
        "dropout": 0.1,
        "spatial_dropout": False,
    },
    "mmsegmentation": {
        "stem": "deep_32",
        "stride_on": "3x3",
        "average": False,
        "reduction": "mean",
        "gating": "residual",
        "gate_bias": 0.0,
        "auxiliary": "fcn",
        "lateral": False,
        "align_corners": False,
        "dropout": 0.1,
        "spatial_dropout": True,
    },
}


# What can be chosen, where it isn't a number or a switch.
ALLOWED = {
    "reduction": ("sum", "mean"),
    "gating": ("scale", "residual"),
    "auxiliary": ("context", "fcn", None),
}


def variant_parts(variant, auxiliary="variant", **overrides):
    """Returns the parts of `variant`, with the overrides that aren't None in their place.

    Raises:
        ValueError: for an unknown variant or choice.
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {sorted(VARIANTS)}. Received: variant={variant!r}"
        )
    parts = VARIANTS[variant] | {key: v for key, v in overrides.items() if v is not None}
    if auxiliary != "variant":
        parts = parts | {"auxiliary": auxiliary}  # None is one of its values
    for name, allowed in ALLOWED.items():
        if parts[name] not in allowed:
            raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={parts[name]!r}")
    return parts
