"""The three structures that were published, and this package's own."""

_PAPER = {
    "stem": "plain",
    "stride_on": "1x1",  # where Keras Applications' ImageNet weights have it
    "aggregation": "sum",
    "codeword_pooling": "sum",
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
    "keras_encnet": {**_PAPER, "aggregation": "mean"},
    "paper": _PAPER,
    "official": {
        "stem": "deep_64",
        "stride_on": "3x3",
        "aggregation": "sum",
        "codeword_pooling": "mean",
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
        "aggregation": "sum",
        "codeword_pooling": "mean",
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
    "aggregation": ("sum", "mean"),
    "codeword_pooling": ("sum", "mean"),
    "gating": ("scale", "residual"),
    "auxiliary": ("context", "fcn", "none"),
}


def variant_parts(variant, **overrides):
    """Returns the parts of `variant`, with the overrides that aren't None in their place.

    Raises:
        ValueError: for an unknown variant or choice.
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {sorted(VARIANTS)}. Received: variant={variant!r}"
        )
    parts = VARIANTS[variant] | {key: v for key, v in overrides.items() if v is not None}
    for name, allowed in ALLOWED.items():
        if parts[name] not in allowed:
            raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={parts[name]!r}")
    return parts
