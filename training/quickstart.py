"""The complete workflow in a few minutes: train, evaluate, compare, export, serve.

    python -m training.quickstart [--ablation]

It trains FCN and EncNet with the same budget on scenes, where objects of several classes look the
same and only the context of the image distinguishes them; scores both; writes a page of
predictions; exports EncNet as a SavedModel and predicts with it in a process without Keras.
"""

import dataclasses
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tabulate

import keras_encnet
from keras_encnet.export import export_saved_model
from keras_encnet.utils.files import write_json
from training import cli
from training.configs import SegmentationConfig
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.datasets.segmentation_data import open_split
from training.input.folder import Split
from training.input.image_files import decode_image
from training.research.receptive_field import receptive_field
from training.run.fit import train
from training.tasks.segmentation_report import report
from training.tasks.segmentation_scores import evaluate, save_predictions

NETWORKS = {"FCN": ScenesFCN(), "EncNet": ScenesEncNet()}
ABLATION = {
    "EncNet, no SE-loss": ScenesEncNet(se_weight=0.0),
    "EncNet, 0 codewords": ScenesEncNet(num_codewords=0),
}
# Number of images that the exported model predicts.
SERVED = 6

# Runs with TensorFlow only, like a server: neither Keras nor this package can be imported.
SERVE = """
import sys
sys.modules["keras"] = sys.modules["keras_encnet"] = None
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
images = tf.constant(np.load(sys.argv[2]), tf.float32)
np.save(sys.argv[3], model.signatures["tensors"](images=images)["classes"].numpy())
"""


def main(
    output: Path = Path("runs/quickstart"),
    export: Path = Path("saved_models/quickstart/1"),
    ablation: bool = False,
    epochs: int = ScenesEncNet.epochs,
) -> None:
    """Train FCN and EncNet on scenes, compare them, export EncNet and predict without Keras.

    Args:
        output: Folder of runs, table and figure; its runs are replaced.
        export: Folder of the SavedModel; it is replaced.
        ablation: Also train EncNet without the SE-loss and without codewords.
        epochs: Number of epochs of each training.
    """
    start = time.perf_counter()
    if export.exists() and not (export / "saved_model.pb").exists():
        raise FileExistsError(
            "The folder of the export is replaced, but it does not contain a SavedModel: choose "
            f"another `--export`. Received: export={str(export)!r}"
        )
    split = open_split("scenes", "test")
    models, results = {}, {}
    for name, config in {**NETWORKS, **(ABLATION if ablation else {})}.items():
        print(f"\n{name}", flush=True)
        config = dataclasses.replace(config, epochs=epochs, overwrite=True)
        run_dir = output / name.replace(",", "").replace(" ", "_").lower()
        models[name], results[name] = train_and_score(config, run_dir, split)
    field = receptive_field(models["FCN"], "segmentation_logits")
    write_json(output / "results.json", {"receptive_field": field, **results})
    print(
        f"\nReceptive field of a logit: {field} pixels, {field // 2} to either side. The objects "
        f"that identify the scene are at least {scenes.CLEARANCE} pixels away from every wheel, "
        f"plate, ball and buoy.\n\n{table(results)}\n"
    )
    figure = output / "predictions.png"
    save_predictions(figure, {name: models[name] for name in NETWORKS}, split)
    print(f"Predictions: {figure}")
    shutil.rmtree(export, ignore_errors=True)
    export_saved_model(models["EncNet"], export)
    agreement = agreement_without_keras(models["EncNet"], export, split, output)
    print(f"SavedModel: {export}; without Keras, {agreement:.2%} of its pixels agree")
    print(f"Total time: {time.perf_counter() - start:.0f} s")


def train_and_score(
    config: SegmentationConfig, run_dir: Path, split: Split
) -> tuple[keras_encnet.SegmentationModel, dict[str, Any]]:
    """Trains a recipe and scores its last model.

    Returns:
        The model; and its scores, with `ambiguous_iou`, the mean IoU of the classes whose objects
        look the same, and the `seconds` of the training.
    """
    start = time.perf_counter()
    model, _ = train(config, run_dir)
    seconds = time.perf_counter() - start
    metric, presence = evaluate(model, split)
    scores = report(metric, split.class_names, presence)
    ambiguous = [scores["iou"][name] or 0 for name in scenes.DISCS]
    return model, {**scores, "ambiguous_iou": float(np.mean(ambiguous)), "seconds": seconds}


def agreement_without_keras(
    model: keras_encnet.SegmentationModel, export: Path, split: Split, folder: Path
) -> float:
    """Returns the fraction of pixels that a model and its export in another process agree on.

    Args:
        model: the model.
        export: its SavedModel.
        split: the split, whose first images are predicted.
        folder: folder for the files that are exchanged with the other process.
    """
    images = [decode_image(str(path)).numpy() for path in split.image_paths[:SERVED]]
    request, response = folder / "request.npy", folder / "response.npy"
    np.save(request, np.stack(images))
    command = [sys.executable, "-c", SERVE, str(export), str(request), str(response)]
    subprocess.run(command, check=True)
    return float(np.mean(np.load(response) == np.stack(model.segment(images))))


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the results as a Markdown table."""
    rows = [
        (
            name,
            100 * scores["pixel_accuracy"],
            100 * scores["mean_iou"],
            100 * scores["ambiguous_iou"],
            scores["seconds"],
        )
        for name, scores in results.items()
    ]
    header = ("network", "pixAcc %", "mIoU %", "IoU of ambiguous objects %", "seconds")
    return tabulate.tabulate(rows, header, tablefmt="github", floatfmt=("", *[".1f"] * 3, ".0f"))


if __name__ == "__main__":
    cli.run(main)
