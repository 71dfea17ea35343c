"""The rows of the ablation: which options of a recipe each of them changes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from training import cli
from training.configs import SegmentationConfig
from training.research.experiments import option_value

SE_WEIGHTS = (0.0, 0.1, 0.2, 0.4, 0.8)
CODEWORDS = (0, 8, 16, 32, 64)
DEEPER = {
    "resnet18": "resnet34",
    "resnet34": "resnet50",
    "resnet50": "resnet101",
    "resnet101": "resnet152",
}
Part = Literal[
    "fcn",
    "psp",
    "deeplabv3",
    "encoding",
    "se_loss",
    "deeper",
    "multi_scale",
    "se_weights",
    "codewords",
]
# Those of the paper.
PARTS: tuple[Part, ...] = tuple(part for part in get_args(Part) if part not in ("psp", "deeplabv3"))


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the ablation.

    Attributes:
        name: name of its files.
        label: name in the table.
        changes: options of the recipe that it changes.
        source: name of the row whose model is scored at several scales; such a row trains nothing.
    """

    name: str
    label: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    source: str | None = None


# Networks that differ from the recipe in their head only, with the labels of their rows.
OTHER_HEADS = {"fcn": "FCN", "psp": "PSPNet", "deeplabv3": "DeepLabv3"}
# EncNet with the options of the recipe.
FULL = Row("se_loss", "+ SE-loss")
NECK_LABELS = {"none": "dilated", "jpu": "JPU"}
Neck = Literal["none", "jpu"]
Head = Literal["encnet", "fcn", "psp", "deeplabv3"]


def rows_of(
    config: SegmentationConfig,
    parts: tuple[Part, ...] = PARTS,
    deeper_weights: str | None = None,
    necks: Sequence[Neck] = (),
    learning_rates: Mapping[Head, float] | None = None,
) -> list[Row]:
    """Returns the rows of the ablation of a recipe, each network once.

    Args:
        config: the recipe.
        parts: the parts to run.
        deeper_weights: weights of the deeper backbone, if those of the recipe are a file.
        necks: the necks of FCN, PSPNet, DeepLabv3, and EncNet with and without the SE-loss, by
            default that of the recipe. All other rows have that of the recipe.
        learning_rates: learning rates of the networks with other heads, by default that of the
            recipe.
    """
    rates: dict[str, dict] = {
        head: {"learning_rate": rate} for head, rate in (learning_rates or {}).items()
    }
    rows = [
        Row(head, label, {"head": head, **rates.get(head, {})})
        for head, label in OTHER_HEADS.items()
        if head in parts
    ]
    if "encoding" in parts:
        rows.append(_row(config, "se_weight", 0.0))
    if "se_loss" in parts:
        rows.append(FULL)
    own: Any = config.neck or "none"
    rows = [
        row if neck == own else _with_neck(row, neck) for neck in necks or [own] for row in rows
    ]
    if "multi_scale" in parts and "deeper" not in parts:
        rows.append(FULL)
    if "deeper" in parts:
        rows.append(Row("deeper", "deeper backbone", deeper(config, deeper_weights)))
    if "multi_scale" in parts:
        source = "deeper" if "deeper" in parts else FULL.name
        rows.append(Row("multi_scale", "+ multi-scale", source=source))
    if "se_weights" in parts:
        rows += [_row(config, "se_weight", weight) for weight in SE_WEIGHTS]
    if "codewords" in parts:
        rows += [_row(config, "num_codewords", number) for number in CODEWORDS]
    return list({row.name: row for row in rows}.values())


def _with_neck(row, neck):
    """Returns a row with another neck than that of the recipe, which its name has after a dash."""
    label = f"{row.label}, {NECK_LABELS[neck]}"
    return Row(f"{row.name}-{neck}", label, {**row.changes, "neck": neck})


def _row(config, option, value):
    """Returns the row that sets one option; for the recipe's own value, the row of EncNet."""
    if value == option_value(config, option):
        return FULL
    label = f"SE-loss times {value:g}" if option == "se_weight" else f"{value} codewords"
    if option == "se_weight" and value == 0:
        label = "+ Encoding"
    return Row(f"{option}_{value:g}", label, {option: value})


def deeper(config: SegmentationConfig, weights: str | None = None) -> dict[str, Any]:
    """Returns the changes that make the backbone of a recipe deeper.

    Raises:
        ValueError: if there is no deeper backbone, if it has no weights, or if weights are given
            for a backbone that starts with random weights.
    """
    if config.blocks is not None:
        cli.refuse({"deeper_weights": weights}, "for a backbone with random weights")
        return {"blocks": tuple(2 * count for count in config.blocks)}
    if config.backbone not in DEEPER:
        raise ValueError(
            "There is no deeper backbone: leave `deeper` out of `--parts`. "
            f"Received: backbone={config.backbone!r}"
        )
    changes = {"backbone": DEEPER[config.backbone]}
    if config.backbone_weights not in (None, "imagenet") and weights is None:
        raise ValueError(
            f"The part `deeper` requires weights of {changes['backbone']}: add "
            "`--deeper-weights`, or leave it out of `--parts`. "
            f"Received: backbone_weights={config.backbone_weights!r}"
        )
    return changes if weights is None else {**changes, "backbone_weights": weights}
