"""Run the paper's ablation on a data set: the contribution of each part of EncNet.

    python -m training.research.ablate --data FOLDER --recipe folder_encnet50 --seeds 0 1

It trains FCN, EncNet without and with the SE-loss and EncNet on a deeper backbone, scores the last
of these at several scales, and sweeps the weight of the SE-loss and the number of codewords. The
parts `psp` and `deeplabv3` add these heads, and `--necks none jpu` trains all heads on a dilated
backbone and with joint pyramid upsampling. Each result is a JSON file. Rerun the same command to
resume; a later `--seeds 0 1 2` adds the third seed. The table and the plots are updated after each
result.
"""

import dataclasses
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tyro

import keras_encnet
from keras_encnet.utils.files import read_json
from training import cli
from training.configs import SegmentationConfig
from training.configs.config import Precision
from training.datasets.segmentation_data import open_split
from training.input.folder import Split
from training.research import ablation_report, experiments
from training.research.ablation_rows import OTHER_HEADS, PARTS, Head, Neck, Part, Row, rows_of
from training.run import trained_models
from training.run.fit import is_finished, train
from training.tasks import segmentation_scores
from training.tasks.segmentation_report import report
from training.tasks.segmentation_scores import evaluate, evaluate_multi_scale
from training.tasks.splits import with_pixels

# Values by epoch that a result keeps from the history of its run.
HISTORY = ("seconds", "val_mean_iou", "val_pixel_accuracy")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the ablation."""

    data: str | None = None
    """Folder data set or `scenes`. By default the data of the recipe."""
    recipe: str = "scenes_encnet"
    """Recipe of an EncNet; the rows vary its options."""
    output: Path = Path("runs/ablation")
    """Folder of results, table and plots; the runs are in its subfolder `runs`."""
    seeds: tuple[int, ...] = (0,)
    """Seeds to train each row with."""
    parts: tuple[Part, ...] = PARTS
    """Rows of the table, and the two sweeps."""
    necks: tuple[Neck, ...] = ()
    """Necks to train FCN, PSPNet, DeepLabv3, and EncNet with and without the SE-loss with. By
    default that of the recipe."""
    split: str = "test"
    """Split on which the last model of each training is scored."""
    learning_rates: dict[Head, float] = dataclasses.field(default_factory=dict)
    """Learning rates by head, such as `encnet 0.001 psp 0.002`. By default that of the recipe."""
    epochs: int | None = None
    """Number of epochs. By default that of the recipe."""
    precision: Precision | None = None
    """Precision of the computation. By default that of the recipe."""
    backbone_weights: str | None = None
    """Weights of the backbone. By default those of the recipe."""
    deeper_weights: str | None = None
    """Weights of the deeper backbone; required if `backbone_weights` is a file."""
    base_size: int | None = None
    """Long side at scale 1 in the multi-scale row. Default: the working size of the recipe."""
    crop_size: int | None = None
    """Side of the sliding windows in the multi-scale row. By default as for `base_size`."""
    hours: float | None = None
    """Time limit after which no further training starts."""

    def __post_init__(self):
        if "multi_scale" not in self.parts:
            sizes = {"base_size": self.base_size, "crop_size": self.crop_size}
            cli.refuse(sizes, "without the part `multi_scale`")
        if "deeper" not in self.parts:
            cli.refuse({"deeper_weights": self.deeper_weights}, "without the part `deeper`")
        omitted = set(OTHER_HEADS).difference(self.parts).intersection(self.learning_rates)
        if omitted:
            names = ", ".join(f"`{name}`" for name in sorted(omitted))
            cli.refuse({"learning_rates": self.learning_rates}, f"without the part {names}")


def main(options: Annotated[Options, tyro.conf.arg(name="")]) -> None:
    """Run the paper's ablation on a data set."""
    start = time.monotonic()
    ablation = Ablation(options)
    for row, seed in ablation.pending():
        if options.hours is not None and time.monotonic() - start > 3600 * options.hours:
            print(f"Time limit of {options.hours} hours reached; rerun the same command to resume")
            return
        print(f"\n{row.label}, seed {seed}", flush=True)
        ablation.run(row, seed)
        ablation_report.write(options.output, ablation.config)
    ablation_report.write(options.output, ablation.config)
    table = (options.output / "table.md").read_text()
    print(f"\n{table}\nResults written to {options.output}")


class Ablation:
    """The rows of an ablation and their results, one file per row and seed.

    Raises:
        FileExistsError: if the folder holds results of another experiment or of other data.
        ValueError: if files or labels of the split to score cannot be used; it names them.
    """

    def __init__(self, options: Options):
        self.options = options
        self.config = experiments.encnet_recipe(
            options.recipe,
            options.data,
            learning_rate=options.learning_rates.get("encnet"),
            epochs=options.epochs,
            precision=options.precision,
            backbone_weights=options.backbone_weights,
        )
        self.rows = rows_of(
            self.config,
            options.parts,
            options.deeper_weights,
            options.necks,
            _learning_rates_of_other_heads(options, self.config),
        )
        for row in self.rows:  # before hours of training
            dataclasses.replace(self.config, **row.changes).check()
        opened = open_split(self.config.data, options.split, self.config.map_labels)
        [self.split] = with_pixels(self.config.image_channels, opened)
        self.multi_scale = multi_scale_sizes(self.config, options.base_size, options.crop_size)
        self.setup = {
            "recipe": options.recipe,
            "data": Path(self.config.data).name,
            "split": options.split,
            "learning_rate": self.config.learning_rate,
            "epochs": self.config.epochs,
            "precision": self.config.precision,
            "working_size": self.config.working_size,
            "crop_size": self.config.crop_size,
            **_by_name({"backbone_weights": self.config.backbone_weights}),
        }
        for path in experiments.result_paths(options.output):
            experiments.check_same(path, self.setup)  # all rows, as they share one table
        segmentation_scores.check(self.split, self.config.ignore_class)
        names = {self.config.train_split, self.config.val_split} - {options.split}
        trained = [open_split(self.config.data, name, self.config.map_labels) for name in names]
        experiments.check_data(options.output, [self.split, *trained])

    def describe(self, row: Row, seed: int) -> dict[str, Any]:
        """Returns what a result records about its experiment: weights by name, without folders."""
        experiment = {"label": row.label, **self.setup, "seed": seed}
        experiment["changes"] = _by_name(row.changes)
        if row.source is not None:
            experiment |= {"source": row.source, "multi_scale": self.multi_scale}
        return experiment

    def pending(self) -> list[tuple[Row, int]]:
        """Returns the rows and seeds that have no result yet."""
        pending = []
        for seed in self.options.seeds:
            for row in self.rows:
                path = experiments.result_path(self.options.output, row.name, seed)
                if path.exists():
                    experiments.check_same(path, self.describe(row, seed))
                else:
                    pending.append((row, seed))
        return pending

    def run(self, row: Row, seed: int) -> None:
        """Trains and scores a row and writes its result."""
        run_dir = self.options.output / "runs" / f"{row.source or row.name}-seed{seed}"
        if row.source is None:
            config = dataclasses.replace(self.config, **row.changes, seed=seed)
            result = train_and_score(config, self.split, run_dir)
        else:
            result = score_multi_scale(
                run_dir, self.split, self.config.ignore_class, self.multi_scale
            )
        path = experiments.result_path(self.options.output, row.name, seed)
        experiments.write_result(path, {**self.describe(row, seed), **result})


def _learning_rates_of_other_heads(options, config):
    """Returns the rates, given or of the recipe, that differ from that of EncNet in `config`."""
    own = experiments.RECIPES[options.recipe].learning_rate
    rates = {head: options.learning_rates.get(head, own) for head in OTHER_HEADS}
    return {head: rate for head, rate in rates.items() if rate != config.learning_rate}


def _by_name(options):
    """Returns options with the file name of weights instead of their path."""
    weights = options.get("backbone_weights")
    return options if weights is None else {**options, "backbone_weights": Path(weights).name}


def train_and_score(config: SegmentationConfig, split: Split, run_dir: Path) -> dict[str, Any]:
    """Trains a recipe, unless its run is finished, and scores the last model.

    Returns:
        `scores`; the `seconds` of training and evaluation; as `automatic`, the values that the run
        found for automatic options, such as the working size; and as `history`, by epoch, seconds
        and scores on the validation split, which some recipes train on as well.
    """
    if not is_finished(config, run_dir):
        train(config, run_dir)
    start = time.monotonic()
    model = trained_models.load_model(run_dir / "last.keras")
    metric, presence = evaluate(model, split, config.ignore_class)
    scores = report(metric, split.class_names, presence)
    history = read_json(run_dir / "history.json")
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)  # large, and no longer needed
    seconds = {"train": sum(history["seconds"]), "evaluate": time.monotonic() - start}
    recorded = read_json(run_dir / "config.json")
    automatic = {name: recorded[name] for name in recorded.get("automatic", ())}
    kept = {name: history[name] for name in HISTORY if name in history}
    return {"scores": scores, "seconds": seconds, "automatic": automatic, "history": kept}


def score_multi_scale(
    run_dir: Path, split: Split, ignore_class: tuple[int, ...], sizes: Mapping[str, Any]
) -> dict[str, Any]:
    """Scores the last model of a run at several scales; returns `scores` and `seconds`."""
    start = time.monotonic()
    model = trained_models.load_model(run_dir / "last.keras")
    segmenter = keras_encnet.MultiScaleSegmenter(model, **sizes)
    scores = report(evaluate_multi_scale(segmenter, split, ignore_class), split.class_names)
    return {"scores": scores, "seconds": {"evaluate": time.monotonic() - start}}


def multi_scale_sizes(
    config: SegmentationConfig, base_size: int | None = None, crop_size: int | None = None
) -> dict[str, int | None]:
    """Returns the sizes of multi-scale evaluation: those given, or those of a recipe.

    None stands for the default of `keras_encnet.MultiScaleSegmenter`.
    """
    sizes: dict[str, int | None] = {"base_size": None, "crop_size": None}
    if config.crop_size is not None and isinstance(config.working_size, int):
        sizes = {"base_size": config.working_size, "crop_size": max(config.crop_size)}
    elif config.crop_size is not None and config.data == "scenes":  # which must keep its size
        sizes = dict.fromkeys(sizes, max(config.crop_size))
    given = {"base_size": base_size, "crop_size": crop_size}
    return sizes | {key: value for key, value in given.items() if value is not None}


if __name__ == "__main__":
    cli.run(main)
