"""The paper's ablation on any data set: what each part of EncNet brings.

    python -m training.research.ablate --data FOLDER --recipe folder_encnet50 --seeds 0 1

trains FCN, EncNet without and with the SE-loss and on a deeper backbone, scores the last in
multi-scale, too, and sweeps the weight of the SE-loss and the number of codewords. Each result is a
file; what is there already is not done again, so a run that was stopped goes on, and a later
`--seeds 0 1 2` adds the third. Table and plots are drawn anew after each result.
"""

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Literal

import keras

import keras_encnet
from training import cli
from training.configs import RECIPES
from training.configs.config import Precision
from training.datasets.segmentation_data import open_split
from training.research import ablation_report
from training.run import run_folder
from training.run.fit import train
from training.tasks.multi_scale import DEFAULTS
from training.tasks.segmentation_scores import evaluate, evaluate_multi_scale, report

SE_WEIGHTS = (0.0, 0.1, 0.2, 0.4, 0.8)
CODEWORDS = (0, 8, 16, 32, 64)
DEEPER = {
    "resnet18": "resnet34",
    "resnet34": "resnet50",
    "resnet50": "resnet101",
    "resnet101": "resnet152",
}
Part = Literal["fcn", "encoding", "se_loss", "deeper", "multi_scale", "se_weights", "codewords"]
PARTS = ("fcn", "encoding", "se_loss", "deeper", "multi_scale", "se_weights", "codewords")


@dataclasses.dataclass(frozen=True)
class Row:
    """One network of the ablation.

    Attributes:
        name: of its files.
        label: what the table calls it.
        changes: what it changes in the recipe.
        of: name of the row whose model it scores in multi-scale; trains none.
    """

    name: str
    label: str
    changes: dict = dataclasses.field(default_factory=dict)
    of: str | None = None


# EncNet as the recipe has it.
FULL = Row(ablation_report.FULL, "+ SE-loss")


def main(
    data: str | None = None,
    recipe: str = "scenes_encnet",
    output: Path = Path("runs/ablation"),
    seeds: tuple[int, ...] = (0,),
    parts: tuple[Part, ...] = PARTS,
    split: str = "test",
    epochs: int | None = None,
    precision: Precision | None = None,
    backbone_weights: str | None = None,
    deeper_weights: str | None = None,
    base_size: int | None = None,
    crop_size: int | None = None,
    hours: float | None = None,
):
    """Runs the paper's ablation on a data set.

    Args:
        data: a folder data set, or `scenes`; the recipe's own by default.
        recipe: the recipe that rows vary; that of an EncNet.
        output: folder of the results, the table and the plot; the runs
            themselves are in `runs` within.
        seeds: each row is trained with each of them.
        parts: rows of the table, and the two sweeps.
        split: the split to score the last model of each training on.
        epochs: those of the recipe by default.
        precision: likewise; bfloat16 is faster on processors that have it.
        backbone_weights: likewise.
        deeper_weights: of the deeper backbone, if the recipe's are a file.
        base_size: of the multi-scale row, see `training.evaluate`; by default the recipe's, or 520.
        crop_size: likewise; by default the recipe's beside its `base_size`, or 480.
        hours: begin no further training after so long.
    """
    start = time.monotonic()
    if "multi_scale" not in parts:
        sizes = {"base_size": base_size, "crop_size": crop_size}
        cli.refuse(sizes, "without the part `multi_scale`")
    if "deeper" not in parts:
        cli.refuse({"deeper_weights": deeper_weights}, "without the part `deeper`")
    config = config_of(recipe, data, epochs, precision, backbone_weights)
    rows = rows_of(config, parts, deeper_weights)
    images = open_split(config.data, split)
    setup = {"recipe": recipe, "data": Path(config.data).name, "split": split}
    setup |= {"epochs": config.epochs, "precision": config.precision}
    setup |= _recorded({"backbone_weights": config.backbone_weights})
    for path in ablation_report.paths(output):
        check_same(path, setup)  # those of other rows, too: they are in one table
    multi_scale = multi_scale_sizes(config, base_size, crop_size)
    for seed in seeds:
        for row in rows:
            path = output / f"{row.name}-seed{seed}.json"
            wanted = {"label": row.label, **setup, "seed": seed}
            wanted["changes"] = _recorded(row.changes)
            if row.of is not None:
                wanted |= {"of": row.of, "multi_scale": multi_scale}
            if path.exists():
                check_same(path, wanted)
                continue
            if hours is not None and time.monotonic() - start > 3600 * hours:
                print(f"{hours} hours are over; the same command goes on from here")
                return
            print(f"\n{row.label}, seed {seed}", flush=True)
            run_dir = output / "runs" / f"{row.of or row.name}-seed{seed}"
            if row.of is None:
                result = train_row(config, row, seed, images, run_dir)
            else:
                result = score_multi_scale(run_dir, images, config.ignore_class, multi_scale)
            run_folder.write_json(
                path, {**wanted, **result, "environment": run_folder.environment()}
            )
            ablation_report.write(output, config)
    ablation_report.write(output, config)
    print(f"\n{(output / 'table.md').read_text()}\nwritten to {output}")


def rows_of(config, parts=PARTS, deeper_weights=None):
    """Returns the rows of the ablation of a recipe, each network once.

    Args:
        config: a `SegmentationConfig`.
        parts: what is wanted, of `PARTS`.
        deeper_weights: of the deeper backbone, where the recipe's are a file.

    Returns:
        A list of `Row`.
    """
    rows = []
    if "fcn" in parts:
        rows.append(Row("fcn", "FCN", {"head": "fcn"}))
    if "encoding" in parts:
        rows.append(_row(config, "se_weight", 0.0))
    if "se_loss" in parts or ("multi_scale" in parts and "deeper" not in parts):
        rows.append(FULL)
    if "deeper" in parts:
        rows.append(Row("deeper", "deeper backbone", deeper(config, deeper_weights)))
    if "multi_scale" in parts:
        rows.append(Row("multi_scale", "+ multi-scale", of=rows[-1].name))
    if "se_weights" in parts:
        rows += [_row(config, "se_weight", weight) for weight in SE_WEIGHTS]
    if "codewords" in parts:
        rows += [_row(config, "num_codewords", number) for number in CODEWORDS]
    return list({row.name: row for row in rows}.values())


def _row(config, field, value):
    """The row that sets one field of the recipe; its own value makes the row of the full model."""
    if value == getattr(config, field):
        return FULL
    label = f"SE-loss times {value:g}" if field == "se_weight" else f"{value} codewords"
    if field == "se_weight" and value == 0:
        label = "+ Encoding"
    return Row(f"{field}_{value:g}", label, {field: value})


def deeper(config, weights=None):
    """Returns the changes that make the backbone deeper.

    Raises:
        ValueError: if there is no deeper one, or none with weights, or weights
            for one that takes none.
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
            f"The row `deeper` needs weights of {changes['backbone']}: give them with "
            "`--deeper-weights`, or leave it out of `--parts`. "
            f"Received: backbone_weights={config.backbone_weights!r}"
        )
    return changes if weights is None else {**changes, "backbone_weights": weights}


def train_row(config, row, seed, images, run_dir):
    """Trains a row and returns the scores of its last model, and the seconds of both."""
    config = dataclasses.replace(config, **row.changes, seed=seed)
    if not run_folder.is_finished(run_dir, config):
        train(config, run_dir)
    begun = time.monotonic()
    model = keras.models.load_model(run_dir / "last.keras")
    metric, presence = evaluate(model, images, config.ignore_class)
    scores = report(metric, images.class_names, presence)
    trained = sum(run_folder.read_json(run_dir / "history.json")["seconds"])
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)  # large, and of no more use
    return {"scores": scores, "seconds": {"train": trained, "evaluate": time.monotonic() - begun}}


def score_multi_scale(run_dir, images, ignore_class, options):
    """Scores the last model of a run in multi-scale."""
    begun = time.monotonic()
    segmenter = keras_encnet.MultiScaleSegmenter(
        keras.models.load_model(run_dir / "last.keras"), **options
    )
    scores = report(evaluate_multi_scale(segmenter, images, ignore_class), images.class_names)
    return {"scores": scores, "seconds": {"evaluate": time.monotonic() - begun}}


def multi_scale_sizes(config, base_size=None, crop_size=None):
    """Returns the sizes of multi-scale evaluation: what is given, or as the recipe trains."""
    sizes = {key: DEFAULTS[key] for key in ("base_size", "crop_size")}
    if config.base_size is not None or config.data == "scenes":  # which must keep its size
        side = max(config.crop_size)
        sizes = {"base_size": config.base_size or side, "crop_size": side}
    given = {"base_size": base_size, "crop_size": crop_size}
    return sizes | {key: value for key, value in given.items() if value is not None}


def check_same(path, wanted):
    """Raises FileExistsError if a result is of another experiment."""
    found = run_folder.read_json(path)
    wanted = json.loads(json.dumps(wanted))  # tuples become lists, as in the file
    for key, value in wanted.items():
        if found.get(key, value) != value:  # a key that isn't there is younger than the result
            raise FileExistsError(
                f"{path} is the result of another experiment, with {key}={found[key]!r}: "
                f"choose another `--output`, or remove it. Received: {key}={value!r}"
            )


def _recorded(options):
    """Returns options as a result records them: of weights the name, not where they were."""
    weights = options.get("backbone_weights")
    return options if weights is None else {**options, "backbone_weights": Path(weights).name}


def config_of(recipe, data=None, epochs=None, precision=None, backbone_weights=None):
    """Returns the recipe of that name on that data, with what is given in the place of its own.

    Raises:
        ValueError: unless it is the recipe of an EncNet that needs nothing but data, and has it.
    """
    names = [name for name, kind in RECIPES.items() if _can_be_taken_apart(kind)]
    if recipe not in names:
        raise ValueError(f"`recipe` must be one of {names}. Received: recipe={recipe!r}")
    if data is None and RECIPES[recipe].__dataclass_fields__["data"].default is dataclasses.MISSING:
        raise ValueError(f"This recipe needs data: give `--data`. Received: recipe={recipe!r}")
    config = RECIPES[recipe](**({} if data is None else {"data": data}))
    given = {"epochs": epochs, "precision": precision, "backbone_weights": backbone_weights}
    return dataclasses.replace(config, **{k: v for k, v in given.items() if v is not None})


def _can_be_taken_apart(recipe):
    """Whether a recipe is that of an EncNet, and needs nothing but data, such as its own ResNet."""
    fields = {field.name: field.default for field in dataclasses.fields(recipe)}
    needed = {name for name, default in fields.items() if default is dataclasses.MISSING}
    return fields.get("head") == "encnet" and needed <= {"data"}


if __name__ == "__main__":
    cli.run(main)
