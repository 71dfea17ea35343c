"""The whole way in a few minutes: train, evaluate, compare, export, serve.

    python -m training.quickstart [--ablation]

Trains FCN and EncNet on scenes, where objects look alike and only the context
of the whole image can name them, on one budget; scores both; draws a page of
predictions; exports EncNet as a SavedModel and predicts with it in a process
that can't import Keras.
"""

import dataclasses
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tabulate

from keras_encnet.export import export_saved_model
from training import cli
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.datasets.segmentation_data import open_split
from training.figures.overlays import save_comparison
from training.input.image_files import decode_image, read_mask
from training.research.receptive_field import receptive_field
from training.run import run_folder
from training.run.fit import train
from training.tasks.segmentation_scores import evaluate, report

NETWORKS = {"FCN": ScenesFCN(), "EncNet": ScenesEncNet()}
ABLATION = {
    "EncNet, no SE-loss": ScenesEncNet(se_weight=0.0),
    "EncNet, 0 codewords": ScenesEncNet(num_codewords=0),
}
SHOWN = 6

# Run where neither Keras nor this package can be imported: what a server has.
SERVE = """
import sys
sys.modules["keras"] = None
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
):
    """Trains FCN and EncNet on scenes, compares them, exports EncNet.

    Args:
        output: folder of the runs, the table and the picture; written anew.
        export: folder of the SavedModel; written anew.
        ablation: also train EncNet without the SE-loss and without codewords.
        epochs: epochs of each training.
    """
    start = time.perf_counter()
    if export.exists() and not (export / "saved_model.pb").exists():
        raise FileExistsError(
            "`--export` is replaced whole, and this folder holds no SavedModel. "
            f"Received: export={str(export)!r}"
        )
    split = open_split("scenes", "test")
    models, results = {}, {}
    for name, config in {**NETWORKS, **(ABLATION if ablation else {})}.items():
        print(f"\n{name}", flush=True)
        began = time.perf_counter()
        folder = output / name.replace(",", "").replace(" ", "_").lower()
        config = dataclasses.replace(config, epochs=epochs, overwrite=True)
        model, _ = train(config, folder)
        seconds = time.perf_counter() - began
        metric, presence = evaluate(model, split)
        scores = report(metric, split.class_names, presence)
        scores["ambiguous_iou"] = float(np.mean([scores["iou"][n] or 0 for n in scenes.DISCS]))
        models[name], results[name] = model, {**scores, "seconds": seconds}

    field = receptive_field(models["FCN"], "segmentation_logits")
    print(
        f"\nA logit sees {field} pixels, {field // 2} to either side; what tells the scene is "
        f"{scenes.CLEARANCE} or more from every wheel, plate, ball and buoy."
    )
    print(f"\n{table(results)}\n")
    run_folder.write_json(output / "results.json", {"receptive_field": field, **results})

    images = [decode_image(str(path)).numpy() for path in split.image_paths[:SHOWN]]
    truths = [read_mask(path) for path in split.mask_paths[:SHOWN]]
    shown = list(NETWORKS)
    predictions = [models[name].segment(images) for name in shown]
    save_comparison(
        output / "predictions.png",
        list(zip(images, truths, *predictions, strict=True)),
        ["image", "truth", *shown],
        split.class_names,
    )
    print(f"picture: {output / 'predictions.png'}")

    shutil.rmtree(export, ignore_errors=True)
    export_saved_model(models["EncNet"], export)
    served = serve(export, np.stack(images), output)
    agreement = np.mean(served == np.stack(predictions[shown.index("EncNet")]))
    print(f"SavedModel: {export}; read without Keras, {agreement:.2%} of its pixels agree")
    print(f"{time.perf_counter() - start:.0f} s in all")


def serve(export, images, folder):
    """Predicts with a SavedModel in a process of its own, which can't import Keras."""
    request, answer = folder / "request.npy", folder / "answer.npy"
    np.save(request, images)
    subprocess.run([sys.executable, "-c", SERVE, export, request, answer], check=True)
    return np.load(answer)


def table(results):
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
    return tabulate.tabulate(rows, header, tablefmt="github", floatfmt=(None, *[".1f"] * 3, ".0f"))


if __name__ == "__main__":
    cli.run(main)
