"""How closely exports agree with the Keras model.

    python -m benchmarks.export_agreement drawn
    python -m benchmarks.export_agreement real MODEL --data FOLDER

`drawn` compares every kind of export on drawn weights and images; `real` compares the scores of
bfloat16 and float32 on labeled images.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tabulate
import tyro

from benchmarks.random_models import drawn, encnet50, smooth_noise

VARIANTS = ("paper", "official", "mmsegmentation")


def agreement(height: int = 256, width: int = 256, odd: tuple[int, int] = (185, 243)):
    """Compares every export with the Keras model: largest differences, pixels that agree.

    Args:
        height: of the images of a usual size.
        width: likewise.
        odd: height and width of the images of an odd size.
    """
    rows = []
    for variant in VARIANTS:
        sizes = ((height, width), odd)
        rows += compare(f"EncNet50 {variant}", encnet50(variant, 150), sizes)
    import keras_encnet

    rows += compare("EncNet14", drawn(keras_encnet.EncNet14()), ((32, 32),))
    header = ("network", "size", "export", "presence", "probabilities", "pixels that agree %")
    formats = (None, None, None, ".1e", ".1e", ".4f")
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=formats))


def compare(name, model, sizes):
    """Returns rows of the table of `agreement`."""
    from ai_edge_litert.interpreter import Interpreter
    from onnxruntime import InferenceSession

    from keras_encnet import export

    segments = isinstance(model.output, dict)
    images = [smooth_noise(1, *size).astype("float32") for size in sizes]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        wanted = {"probabilities": True} if segments else {}
        answers = {
            "folded Keras": [of_keras(export.fold_batch_normalization(model), x) for x in images]
        }
        for label, options in {
            "SavedModel, frozen": {},
            "SavedModel, variables": {"freeze": False},
            "SavedModel, as trained": {"fold": False, "freeze": False},
            "SavedModel, bfloat16": {"precision": "bfloat16"},
        }.items():
            path = folder / label / "1"
            export.export_saved_model(model, path, **options, **wanted)
            answers[label] = of_saved_model(path, images)
        export.export_litert(model, folder / "model.tflite", **wanted)
        answers["LiteRT"] = []
        for x in images:
            reader = Interpreter(str(folder / "model.tflite"))
            reader.resize_tensor_input(reader.get_input_details()[0]["index"], x.shape)
            answers["LiteRT"].append(reader.get_signature_runner()(images=x))
        export.export_onnx(model, folder / "model.onnx", **wanted)
        session = InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        answers["ONNX Runtime"] = [
            dict(zip(names, session.run(None, {"images": x}), strict=True)) for x in images
        ]
    for i, x in enumerate(images):
        want = of_keras(model, x)
        for label, got in answers.items():
            differences = {
                key: np.abs(want[key] - got[i][key]).max() if key in want else None
                for key in ("presence", "probabilities")
            }
            agree = np.mean(want["classes"] == got[i]["classes"]) if segments else None
            size = " x ".join(map(str, x.shape[1:3]))
            rows.append((name, size, label, *differences.values(), agree and 100 * agree))
    return rows


def of_keras(model, images):
    """Answers with the Keras model, as exports do."""
    from keras import ops

    from keras_encnet import preprocess_input

    outputs = model(preprocess_input(images, model.preprocessing), training=False)
    if not isinstance(outputs, dict):
        return {"probabilities": np.asarray(outputs)}
    answer = {
        "classes": np.argmax(outputs["segmentation"], -1),
        "probabilities": np.asarray(ops.softmax(outputs["segmentation"])),
    }
    if "presence" in outputs:
        answer["presence"] = np.asarray(ops.sigmoid(outputs["presence"]))
    return answer


WITHOUT_KERAS = """
import sys
sys.modules["keras"] = None
import numpy as np, tensorflow as tf
signature = tf.saved_model.load(sys.argv[1]).signatures["tensors"]
for i, name in enumerate(sys.argv[2:]):
    answer = signature(images=tf.constant(np.load(name)))
    numbers = {key: value.numpy() for key, value in answer.items() if value.dtype != tf.string}
    np.savez(f"{sys.argv[1]}/{i}.npz", **numbers)
"""


def of_saved_model(path, images):
    """Answers in a process where Keras can't be imported."""
    names = [str(path / f"{i}.npy") for i in range(len(images))]
    for name, x in zip(names, images, strict=True):
        np.save(name, x)
    subprocess.run([sys.executable, "-c", WITHOUT_KERAS, str(path), *names], check=True)
    return [dict(np.load(path / f"{i}.npz")) for i in range(len(images))]


def real(model: tyro.conf.Positional[Path], data: str, split: str = "test", most: int = 10_000):
    """Compares bfloat16 with float32 on labeled images at native size.

    Args:
        model: a run folder or a `.keras` file.
        data: a folder data set, or `scenes`.
        split: of it.
        most: images to compare, spread evenly over the split.
    """
    import tensorflow as tf
    from tqdm import tqdm

    import keras_encnet
    from keras_encnet.export import export_saved_model
    from training.datasets.segmentation_data import open_split
    from training.input.image_files import decode_image, read_mask
    from training.run import trained_models

    network = trained_models.load_model(trained_models.find_model(model))
    images = open_split(data, split)
    metrics, signatures, same, pixels = {}, {}, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("float32", "bfloat16"):
            path = Path(folder) / precision
            export_saved_model(network, path, precision=precision)
            signatures[precision] = tf.saved_model.load(path).signatures["tensors_uint8"]
            metrics[precision] = keras_encnet.SegmentationMetrics(network.classes)
    picked = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)
    for i in tqdm(picked):
        x = decode_image(str(images.image_paths[i]))[None]
        mask = read_mask(images.mask_paths[i])[None]
        maps = {k: signature(images=x)["classes"].numpy() for k, signature in signatures.items()}
        for precision, classes in maps.items():
            metrics[precision].update_state(mask, classes)
        same += np.sum(maps["float32"] == maps["bfloat16"])
        pixels += mask.size
    for precision, metric in metrics.items():
        scores = metric.result()
        print(f"{precision}: pixAcc {100 * float(scores['pixel_accuracy']):.2f} %", end=", ")
        print(f"mIoU {100 * float(scores['mean_iou']):.2f} %")
    print(f"{100 * same / pixels:.3f} % of the pixels of {len(picked)} images agree")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"drawn": agreement, "real": real})
