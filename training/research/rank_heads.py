"""Rank heads within minutes, on features of the backbone that are computed once.

    python -m training.research.rank_heads FOLDER --recipe folder_encnet50_dilated

The features are those of the frozen backbone's last stage at output stride 16: of the crops that
the recipe would train on, and of the full images of the split to score. Each head in `HEADS` is
trained on these features with the learning rates of the recipe, and scored at their resolution.
Scores, diagnostics and a plot are written to the output folder. Rerun the same command to resume.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_encnet
from keras_encnet.callbacks import ContextDiagnostics
from keras_encnet.metrics import presence_scores
from keras_encnet.models.segmentation import assemble
from keras_encnet.models.structure import resolve
from training import cli
from training.configs import SegmentationConfig
from training.figures.curves import save_diagnostics
from training.research import experiments
from training.research.backbone_features import Arrays, features, train_batches, val_batches
from training.research.experiments import SCORES
from training.run import run_folder
from training.run.fit import optimizer, set_up

OUTPUT_STRIDE = 16
# Steps between two measurements of the diagnostics, and the number of images that they use.
EVERY, DIAGNOSED = 10, 32
OFFICIAL = {
    "aggregation": "sum",
    "codeword_pooling": "mean",
    "gating": "residual",
    "gate_bias": 0.0,
    "presence_multiplier": None,
}
# The heads by the options that they change in the recipe. One that changes nothing is skipped.
HEADS: dict[str, dict[str, Any]] = {
    "FCN": {"head": "fcn"},
    "PSPNet": {"head": "psp"},
    "DeepLabv3": {"head": "deeplabv3", "aspp_dilation": 6},  # at output stride 16
    "official code": OFFICIAL,
    "official code, averages": {**OFFICIAL, "aggregation": "mean"},
    "official code, averages, x times gate": {
        **OFFICIAL,
        "aggregation": "mean",
        "gating": "scale",
    },
    "the recipe": {},
    "the recipe, presence as fast as the head": {"presence_multiplier": None},
    "the recipe, sums in Encoding": {"aggregation": "sum"},
    "the recipe, gates half open": {"gate_bias": 0.0},
    "the recipe, gates nearly open": {"gate_bias": 2.0},
    "the recipe, no codewords": {"num_codewords": 0, "presence_multiplier": None},
    "the recipe, no SE-loss": {"se_weight": 0.0},
}
# The heads that the plot compares, by their labels in it.
COMPARED = {"official code": "official code", "this package": "the recipe"}


def main(
    data: str,
    recipe: str = "folder_encnet50_dilated",
    output: Path = Path("runs/rank_heads"),
    split: str = "test",
    backbone_weights: str | None = None,
    seeds: tuple[int, ...] = (0,),
) -> None:
    """Rank the heads in `HEADS` on one data set.

    Args:
        data: Folder data set or `scenes`.
        recipe: Recipe of an EncNet, which the heads vary.
        output: Folder of features and results.
        split: Split on which the heads are scored.
        backbone_weights: Weights of the backbone. By default those of the recipe.
        seeds: Seeds to train each head with; the crops are always those of the recipe's seed.
    """
    config = experiments.encnet_recipe(
        recipe,
        data,
        backbone_weights=backbone_weights,
        val_split=split,
        output_stride=OUTPUT_STRIDE,
        auxiliary="none",
    )
    if config.neck not in (None, "none"):
        raise ValueError(
            "Heads are ranked on the features of the last stage, but a neck takes three stages: "
            f"choose a recipe without a neck. Received: recipe={recipe!r}"
        )
    if (output / "config.json").exists():
        experiments.check_same(output / "config.json", run_folder.describe(config))
    set_up(config)
    crops, images, classes = features(config, output / "features.npz")
    for seed in seeds:
        for name, head in heads(dataclasses.replace(config, seed=seed)).items():
            path = experiments.result_path(output, file_name(name), seed)
            if not path.exists():
                print(f"\n{name}, seed {seed}", flush=True)
                result = train_and_score(head, crops, images, classes)
                experiments.write_result(path, {**result, "choice": name, "seed": seed})
    found = experiments.read_results(output)
    results = {name: found[file_name(name)] for name in HEADS if file_name(name) in found}
    experiments.write_text(output / "table.md", table(results))
    compared = {label: results[name][0] for label, name in COMPARED.items()}
    save_diagnostics(output / "diagnostics.png", compared)
    print(f"\n{table(results)}\nResults written to {output}")


def heads(config: SegmentationConfig) -> dict[str, SegmentationConfig]:
    """Returns the recipe of each head, without those that equal the recipe itself."""
    recipes = {name: dataclasses.replace(config, **changes) for name, changes in HEADS.items()}
    return {name: head for name, head in recipes.items() if head != config or not HEADS[name]}


def file_name(name: str) -> str:
    """Returns the name of a head's files."""
    return name.replace(",", "").replace(" ", "_")


def train_and_score(
    config: SegmentationConfig, crops: Arrays, images: Sequence[Arrays], classes: int
) -> dict[str, Any]:
    """Trains one head on the features.

    Returns:
        `scores`, the `seconds` of the training, `val_mean_iou` of each epoch, and `diagnostics`,
        the history of `ContextDiagnostics`.
    """
    keras.utils.clear_session()
    set_up(config)  # again: clearing the session resets the precision
    model, steps = build_head(config, crops[0].shape[-1], classes), len(crops[0])
    multipliers = dict.fromkeys(model.head_layers, config.head_multiplier)
    if "presence" in model.output and config.presence_multiplier is not None:
        multipliers["presence"] = config.presence_multiplier
    objectives = keras_encnet.objectives(
        model, ignore_class=config.ignore_class, se_weight=config.se_weight
    )
    model.compile(optimizer(config, steps, multipliers), **objectives)
    diagnostics = _diagnostics(config, images)
    start = time.monotonic()
    history = model.fit(
        train_batches(*crops),
        epochs=config.epochs,
        steps_per_epoch=steps // config.epochs,
        validation_data=val_batches(images),
        shuffle=False,
        callbacks=diagnostics,
        verbose=2,
    ).history
    seconds = time.monotonic() - start
    scores: dict[str, Any] = {name: float(history[f"val_{name}"][-1]) for name in SCORES}
    if config.head == "encnet":
        scores["presence"] = _presence_scores(model, images, classes)
    return {
        "scores": scores,
        "seconds": seconds,
        "val_mean_iou": [float(value) for value in history["val_mean_iou"]],
        "diagnostics": diagnostics[0].history if diagnostics else [],
    }


def build_head(
    config: SegmentationConfig, channels: int, classes: int
) -> keras_encnet.SegmentationModel:
    """Builds the head of a recipe without a backbone, from features to logits of their size."""
    x = keras.Input((None, None, channels), name="features")
    stages = {f"stage{i}": keras.layers.Identity(name=f"stage{i}")(x) for i in range(1, 5)}
    backbone = keras.Model(x, stages)
    structure = resolve((config.head,), config.variant, config.structure(config.head))
    return assemble(config.head, backbone, classes, structure, name=config.head)


def _diagnostics(config, images):
    """Returns a list of the diagnostics on some images, empty without a presence output."""
    if config.head != "encnet":
        return []
    picked = np.linspace(0, len(images) - 1, min(DIAGNOSED, len(images))).astype(int)
    return [ContextDiagnostics([images[i] for i in picked], None, EVERY, config.ignore_class)]


def _presence_scores(model, images, classes):
    @tf.function(input_signature=[tf.TensorSpec((1, None, None, images[0][0].shape[-1]))])
    def logits(x):
        return model(x, training=False)["presence"]

    present = [np.isin(np.arange(classes), mask) for _, mask in images]
    return presence_scores(present, [logits(tf.cast(x, tf.float32))[0] for x, _ in images])


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Returns a Markdown table with one row per head: means over seeds."""
    rows = []
    for name, found in results.items():
        scores = [f"{100 * np.mean([r['scores'][s] for r in found]):.1f}" for s in SCORES]
        presence = [r["scores"]["presence"] for r in found if "presence" in r["scores"]]
        for score, factor, digits in (("average_precision", 100, 1), ("se_loss", 1, 3)):
            values = [factor * p[score] for p in presence]
            scores.append(f"{np.mean(values):.{digits}f}" if values else "")
        rows.append((name, *scores, len(found)))
    header = ("head", *SCORES.values(), "presence AP %", "SE-loss", "seeds")
    return experiments.markdown_table(rows, header)


if __name__ == "__main__":
    cli.run(main)
