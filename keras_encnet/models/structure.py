"""The structural options of the segmentation networks, each stated once.

`OPTIONS` is read by the builders (signature, documentation, checks), the recipes, the command line
with its help, the check for options without effect, and the table in docs/recipes.md. To add an
option, declare it here and use it in the code that implements it, which receives its value: the
backbone's builder as an argument, a head of `models/heads/` as an attribute of `options`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_encnet.backbones.resnet import SECOND_DILATIONS, STAGES, STEMS, STRIDES_ON
from keras_encnet.layers.encoding import AGGREGATIONS
from keras_encnet.layers.feature_map_attention import GATINGS
from keras_encnet.models.necks import NECKS, ORDERS
from keras_encnet.models.option import Option
from keras_encnet.utils.checks import Range

# The presets of the options, and what they are.
VARIANTS = {
    "keras_encnet": "the paper's structure with means in Encoding, for training on small data sets",
    "paper": "the structure of the paper",
    "official": "the structure of the official code, PyTorch-Encoding",
    "mmsegmentation": "the structure of mmsegmentation",
}
# The options of a head include those of the neck below it.
ALL_HEADS = ("encnet", "fcn", "psp", "deeplabv3")
# How the head of DeepLabv3 combines its branches.
ASPP = ("projected", "wide")


def _all(value):
    return dict.fromkeys(VARIANTS, value)


def _each(*values):
    return dict(zip(VARIANTS, values, strict=True))


OPTIONS = (
    Option(
        "output_stride",
        tuple(STAGES),
        "Image size divided by the size of the last features.",
        _all(8),
        ("resnet",),
    ),
    Option(
        "stem",
        tuple(STEMS),
        "First convolutions: one 7x7, or three 3x3 starting at width 32 or 64.",
        _each("plain", "plain", "deep_64", "deep_32"),
        ("resnet",),
    ),
    Option(
        "stride_on",
        STRIDES_ON,
        "Convolution of a bottleneck that has the stride: 1x1 in Keras Applications, 3x3 in "
        "PyTorch.",
        _each("1x1", "1x1", "3x3", "3x3"),
        ("resnet",),
    ),
    Option(
        "second_dilation",
        SECOND_DILATIONS,
        "Dilation of the second convolution of a basic block: that of the first (block), of the "
        "later blocks of the stage (stage), or none.",
        _each("block", "block", "stage", "none"),
        ("resnet",),
    ),
    Option(
        "dilate_strided",
        bool,
        "At output stride 32, dilate stages 3 and 4 as at 8 although they keep their strides.",
        _each(False, False, False, True),
        ("resnet",),
        unless=("output_stride", 8),
    ),
    Option(
        "neck",
        ("none", *NECKS),
        "Features for the head: stage 4, or one map of output stride 8 made from stages 2 to 4 "
        "of a backbone of output stride 32 by joint pyramid upsampling (jpu).",
        _all("none"),
        ALL_HEADS,
        requires={"jpu": {"output_stride": 32, "lateral": False}},
    ),
    Option(
        "neck_width",
        int,
        "Width of each branch of the neck.",
        _all(512),
        ALL_HEADS,
        least=1,
        unless=("neck", "none"),
    ),
    Option(
        "neck_order",
        ORDERS,
        "Order in which the neck concatenates the stages: from 2 to 4 (fine_first), or from 4 "
        "to 2.",
        _each("fine_first", "fine_first", "coarse_first", "fine_first"),
        ALL_HEADS,
        unless=("neck", "none"),
    ),
    Option(
        "neck_align_corners",
        bool,
        "Like `align_corners`, for the stages that the neck resizes.",
        _each(False, False, True, False),
        ALL_HEADS,
        unless=("neck", "none"),
    ),
    Option("channels", int, "Width of the head.", _all(512), ("encnet",), least=1),
    Option(
        "head_kernel",
        (1, 3),
        "Size of the kernel of the head's first convolution with a neck; without one it is 3.",
        _each(1, 1, 1, 3),
        ("encnet",),
        unless=("neck", "none"),
    ),
    Option(
        "lateral",
        bool,
        "Concatenate stages 2 and 3 to the features of the head; requires output stride 8.",
        _all(False),  # the official code: True for PASCAL data
        ("encnet",),
    ),
    Option(
        "num_codewords",
        int,
        "Codewords of each Encoding layer; 0 replaces Encoding by global average pooling.",
        _all(32),
        ("encnet",),
    ),
    Option(
        "aggregation",
        AGGREGATIONS,
        "Sum or mean of the residuals over pixels; with mean, distances are means over channels.",
        _each("mean", "sum", "sum", "sum"),
        ("encnet",),
        unless=("num_codewords", 0),
    ),
    Option(
        "codeword_pooling",
        ("sum", "mean"),
        "How the codes of all codewords are reduced to one.",
        _each("sum", "sum", "mean", "mean"),
        ("encnet",),
        unless=("num_codewords", 0),
    ),
    Option(
        "gating",
        GATINGS,
        "How gates g apply to features x: x * g (scale), or relu(x + x * g) (residual).",
        _each("scale", "scale", "residual", "residual"),
        ("encnet",),
    ),
    Option(
        "gate_bias",
        float,
        "Initial bias of the gates: 0 starts them half open, 2 nearly open (0.88).",
        _all(0.0),
        ("encnet",),
    ),
    Option(
        "auxiliary",
        ("context", "fcn", "none"),
        "What stage 3 predicts in training: the classes present (context) or the mask (fcn).",
        _each("context", "context", "fcn", "fcn"),
        ("encnet",),
    ),
    Option(
        "auxiliary",
        ("fcn", "none"),
        "What stage 3 predicts in training: the mask (fcn) or nothing.",
        _each("none", "none", "fcn", "fcn"),
        ("fcn", "psp", "deeplabv3"),
    ),
    Option(
        "concat_input",
        bool,
        "Concatenate features and the result of two convolutions, then apply a third; otherwise "
        "apply one.",
        _each(False, False, False, True),
        ("fcn",),
    ),
    Option(
        "aspp",
        ASPP,
        "Branches of an eighth of the channels that a 1x1 convolution projects (projected), or of "
        "a quarter (wide).",
        _each("projected", "projected", "projected", "wide"),
        ("deeplabv3",),
    ),
    Option(
        "aspp_dilation",
        int,
        "Smallest dilation of the 3x3 convolutions of ASPP; the others are its double and triple. "
        "The paper uses 12 for output stride 8 and 6 for 16.",
        _all(12),
        ("deeplabv3",),
        least=1,
    ),
    Option(
        "align_corners",
        bool,
        "Upsample logits such that the corner pixels of input and output coincide.",
        _each(False, False, True, False),
        ALL_HEADS,
    ),
    Option(
        "dropout",
        float,
        "Dropout rate before each classifier.",
        _all(0.1),
        ALL_HEADS,
        range=Range(0, 1),
    ),
    Option(
        "spatial_dropout",
        bool,
        "Drop whole feature maps instead of single values.",
        _each(False, False, False, True),
        ALL_HEADS,
        unless=("dropout", 0),
    ),
)


def options_of(*parts: str) -> dict[str, Option]:
    """Returns the options that any of these parts takes, by name."""
    return {option.name: option for option in OPTIONS if set(parts) & set(option.parts)}


def resolve(parts: tuple[str, ...], variant: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the value of every option of these parts: the given one, or that of the variant.

    Args:
        parts: such as `("resnet", "encnet")`.
        variant: a key of `VARIANTS`.
        given: values by name; None means as in the variant.

    Raises:
        ValueError: for an unknown variant, an invalid value, or one that contradicts another.
        TypeError: for an option that these parts do not take.
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {tuple(VARIANTS)}. Received: variant={variant!r}"
        )
    options = options_of(*parts)
    check_names(given, options)
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        options[name].check(value)
    values = {name: option.values[variant] for name, option in options.items()} | given
    return values | _required(options, values, given)


def _required(options, values, given):
    """Returns the values that values of other options require."""
    required = {}
    for name, option in options.items():
        for other, value in option.requires.get(values[name], {}).items():
            if given.get(other, value) != value:
                free = next(value for value in option.kind if value not in option.requires)
                raise ValueError(
                    f"`{name}={values[name]!r}` requires `{other}={value!r}`, the default with it; "
                    f"`{name}={free!r}` does not. Received: {other}={given[other]!r}"
                )
            if other in options:
                required[other] = value
    return required


def check_names(given: Iterable[str], valid: Iterable[str]) -> None:
    """Raises TypeError if any of these names is not valid."""
    unknown = sorted(set(given) - set(valid))
    if unknown:
        raise TypeError(
            f"Unknown options: {', '.join(unknown)}. Valid options: {', '.join(sorted(valid))}."
        )


def without_effect(parts: tuple[str, ...], variant: str, given: Mapping[str, Any]) -> set[str]:
    """Returns the names of all options that have no effect, given the values of the others."""
    options = options_of(*parts)
    values = resolve(parts, variant, {name: given[name] for name in options if name in given})
    unused = {option.name for option in OPTIONS} - set(options)
    return unused | {
        name
        for name, option in options.items()
        if option.unless is not None and values[option.unless[0]] == option.unless[1]
    }
