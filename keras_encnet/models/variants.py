"""The three structures that were published."""

# What separates the paper from the two implementations with published weights. `lateral` is on in
# the released code for PASCAL data only.
VARIANTS = {
    "paper": {
        "stem": "plain",
        "stride_on": "1x1",  # where Keras Applications' ImageNet weights have it
        "reduction": "sum",
        "gating": "scale",
        "auxiliary": "context",
        "lateral": False,
        "align_corners": False,
        "dropout": 0.1,
        "spatial_dropout": False,
    },
    "official": {
        "stem": "deep_64",
        "stride_on": "3x3",
        "reduction": "mean",
        "gating": "residual",
        "auxiliary": "fcn",
        "lateral": False,
        "align_corners": True,
        "dropout": 0.1,
        "spatial_dropout": False,
    },
    "mmsegmentation": {
        "stem": "deep_32",
        "stride_on": "3x3",
        "reduction": "mean",
        "gating": "residual",
        "auxiliary": "fcn",
        "lateral": False,
        "align_corners": False,
        "dropout": 0.1,
        "spatial_dropout": True,
    },
}


def variant_parts(variant, **overrides):
    """Returns the parts of `variant`, with the overrides that aren't None in their place."""
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {sorted(VARIANTS)}. Received: variant={variant!r}"
        )
    given = {key: value for key, value in overrides.items() if value is not None}
    return {**VARIANTS[variant], **given}
