"""Agreement of exports with the Keras model.

    python -m benchmarks.export_agreement random
    python -m benchmarks.export_agreement real MODEL --data FOLDER

`random` compares every export on random weights and images; `real` compares the scores of bfloat16
and float32 on labeled images.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tabulate
import tensorflow as tf
import tyro
from ai_edge_litert.interpreter import Interpreter
from keras import ops
from onnxruntime import InferenceSession
from tqdm import tqdm

import keras_encnet
from benchmarks.random_models import encnet50, randomize, smooth_noise
from keras_encnet import export
from training.datasets.segmentation_data import open_split
from training.input.image_files import decode_image, read_mask
from training.run import trained_models

VARIANTS = ("paper", "official", "mmsegmentation")
SAVED_MODELS = {
    "SavedModel, frozen": {},
    "SavedModel, variables": {"freeze": False},
    "SavedModel, as trained": {"fold": False, "freeze": False},
    "SavedModel, bfloat16": {"precision": "bfloat16"},
}


def random(height: int = 256, width: int = 256, odd: tuple[int, int] = (185, 243)):
    """Compares every export with the Keras model: largest differences, pixels that agree.

    Args:
        height: Height of the images of a common size.
        width: Their width.
        odd: Height and width of the images of an odd size.
    """
    rows = []
    for variant in VARIANTS:
        sizes = ((height, width), odd)
        rows += compare(f"EncNet50 {variant}", encnet50(variant, 150), sizes)
    rows += compare("EncNet14", randomize(keras_encnet.EncNet14()), ((32, 32),))
    header = ("network", "size", "export", "presence", "probabilities", "pixels that agree %")
    formats = (None, None, None, ".1e", ".1e", ".4f")
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=formats))


def compare(name, model, sizes):
    """Returns the rows of a model: one per image size and export."""
    images = [smooth_noise(1, *size).astype("float32") for size in sizes]
    segments = isinstance(model.output, dict)
    results = results_of_exports(model, images)
    rows = []
    for i, x in enumerate(images):
        expected = keras_result(model, x)
        size = " x ".join(map(str, x.shape[1:3]))
        for label in results:
            result = results[label][i]
            differences = [
                np.abs(expected[key] - result[key]).max() if key in expected else None
                for key in ("presence", "probabilities")
            ]
            agree = 100 * np.mean(expected["classes"] == result["classes"]) if segments else None
            rows.append((name, size, label, *differences, agree))
    return rows


def results_of_exports(model, images):
    """Returns a dict from exports to their outputs, one dict of arrays per image."""
    options = {"probabilities": True} if isinstance(model.output, dict) else {}
    folded = export.fold_batch_normalization(model)
    results = {"folded Keras": [keras_result(folded, x) for x in images]}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for label, how in SAVED_MODELS.items():
            path = folder / label / "1"
            export.export_saved_model(model, path, **how, **options)
            results[label] = saved_model_results(path, images)
        export.export_litert(model, folder / "model.tflite", **options)
        results["LiteRT"] = [litert_result(folder / "model.tflite", x) for x in images]
        export.export_onnx(model, folder / "model.onnx", **options)
        session = InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        results["ONNX Runtime"] = [
            dict(zip(names, session.run(None, {"images": x}), strict=True)) for x in images
        ]
    return results


def keras_result(model, images):
    """Returns the outputs of the Keras model under the names of exports."""
    outputs = model(images, training=False)
    if not isinstance(outputs, dict):
        return {"probabilities": np.asarray(outputs)}
    result = {
        "classes": np.argmax(outputs["segmentation"], -1),
        "probabilities": np.asarray(ops.softmax(outputs["segmentation"])),
    }
    if "presence" in outputs:
        result["presence"] = np.asarray(ops.sigmoid(outputs["presence"]))
    return result


def litert_result(path, images):
    reader = Interpreter(str(path))
    reader.resize_tensor_input(reader.get_input_details()[0]["index"], images.shape)
    return reader.get_signature_runner()(images=images)


WITHOUT_KERAS = """
import sys
sys.modules["keras"] = None
import numpy as np, tensorflow as tf
signature = tf.saved_model.load(sys.argv[1]).signatures["tensors"]
for i, name in enumerate(sys.argv[2:]):
    outputs = signature(images=tf.constant(np.load(name)))
    arrays = {key: value.numpy() for key, value in outputs.items() if value.dtype != tf.string}
    np.savez(f"{sys.argv[1]}/{i}.npz", **arrays)
"""


def saved_model_results(path, images):
    """Runs a SavedModel in a process that cannot import Keras."""
    names = [str(path / f"{i}.npy") for i in range(len(images))]
    for name, x in zip(names, images, strict=True):
        np.save(name, x)
    subprocess.run([sys.executable, "-c", WITHOUT_KERAS, str(path), *names], check=True)
    return [dict(np.load(path / f"{i}.npz")) for i in range(len(images))]


def real(model: tyro.conf.Positional[Path], data: str, split: str = "test", limit: int = 10_000):
    """Compares bfloat16 with float32 on labeled images in their original size.

    Args:
        model: A run folder or a `.keras` file.
        data: A folder data set, or `scenes`.
        split: The split.
        limit: Number of images to compare, spread evenly over the split.
    """
    network = trained_models.load_model(trained_models.find_model(model))
    images = open_split(data, split)
    metrics, signatures, same, pixels = {}, {}, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("float32", "bfloat16"):
            path = Path(folder) / precision
            export.export_saved_model(network, path, precision=precision)
            signatures[precision] = tf.saved_model.load(path).signatures["tensors_uint8"]
            metrics[precision] = keras_encnet.SegmentationMetrics(network.classes)
    chosen = np.linspace(0, len(images) - 1, min(limit, len(images))).round().astype(int)
    for i in tqdm(chosen):
        x = decode_image(str(images.image_paths[i]))[None]
        mask = read_mask(images.mask_paths[i], images.label_map)[None]
        maps = {k: signature(images=x)["classes"].numpy() for k, signature in signatures.items()}
        for precision, classes in maps.items():
            metrics[precision].update_state(mask, classes)
        same += np.sum(maps["float32"] == maps["bfloat16"])
        pixels += mask.size
    for precision, metric in metrics.items():
        scores = metric.result()
        print(
            f"{precision}: pixAcc {100 * float(scores['pixel_accuracy']):.2f} %, "
            f"mIoU {100 * float(scores['mean_iou']):.2f} %"
        )
    print(f"{100 * same / pixels:.3f} % of the pixels of {len(chosen)} images agree")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"random": random, "real": real})
