"""Scores, sizes and times of exported files: float32, bfloat16 and int8.

    python -m benchmarks.exported_files compare MODEL --data FOLDER
    python -m benchmarks.exported_files score FILE --data FOLDER --split test

`compare` exports a model in every format and precision, calibrated with training images, scores
each file on labeled images, and times them in turns, each in a process of its own. `score` scores
one file: a SavedModel, or a file that ends in `.tflite`, `.onnx` or `.xml` (OpenVINO).
"""

import functools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tabulate
import tensorflow as tf
import tyro
from tqdm import tqdm

import keras_encnet
from benchmarks.measuring import median_seconds, output_of
from benchmarks.random_models import smooth_noise
from keras_encnet import export
from keras_encnet.utils.sizes import resize_images, scaled_size
from training.datasets.segmentation_data import open_split
from training.input.image_files import decode_image, read_mask
from training.run import trained_models

Hint = Literal["f32", "bf16"]
# The function, the name of the file and the hint to OpenVINO, by the name in the table.
CONTESTANTS: dict[str, tuple[Callable, str, dict[str, Any], Hint]] = {
    "SavedModel, float32": (export.export_saved_model, "model", {}, "f32"),
    "SavedModel, bfloat16": (export.export_saved_model, "model", {"precision": "bfloat16"}, "f32"),
    "LiteRT, float32": (export.export_litert, "model.tflite", {}, "f32"),
    "LiteRT, dynamic int8": (
        *(export.export_litert, "model.tflite", {"precision": "dynamic_int8"}, "f32"),
    ),
    "LiteRT, int8": (export.export_litert, "model.tflite", {"precision": "int8"}, "f32"),
    "ONNX Runtime, float32": (export.export_onnx, "model.onnx", {}, "f32"),
    "ONNX Runtime, dynamic int8": (
        *(export.export_onnx, "model.onnx", {"precision": "dynamic_int8"}, "f32"),
    ),
    "ONNX Runtime, int8": (export.export_onnx, "model.onnx", {"precision": "int8"}, "f32"),
    "OpenVINO, float32": (export.export_openvino, "model.xml", {}, "f32"),
    "OpenVINO, bfloat16": (export.export_openvino, "model.xml", {"precision": "bfloat16"}, "bf16"),
    "OpenVINO, int8 and float32": (
        *(export.export_openvino, "model.xml", {"precision": "int8"}, "f32"),
    ),
    "OpenVINO, int8 and bfloat16": (
        *(export.export_openvino, "model.xml", {"precision": "int8"}, "bf16"),
    ),
}


def compare(
    model: tyro.conf.Positional[Path],
    data: str,
    split: str = "test",
    calibration: int = 100,
    limit: int = 10_000,
    size: int = 512,
    rounds: int = 3,
    repeats: int = 5,
    only: tuple[str, ...] = tuple(CONTESTANTS),
):
    """Exports a model in every format and precision, and compares scores, sizes and times.

    Args:
        model: A run folder or a `.keras` file.
        data: A folder data set, or `scenes`.
        split: The split to score.
        calibration: Number of training images that calibrate int8.
        limit: Number of images to score, spread evenly over the split.
        size: Height and width of the image that is timed; 0 to skip.
        rounds: Number of turns per contestant.
        repeats: Calls per turn; the first is not counted.
        only: Names of contestants.
    """
    network = trained_models.load_model(trained_models.find_model(model))
    images = training_images(data, calibration)
    rows: dict[str, list] = {name: [] for name in only}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in only:
            function, file, options, hint = CONTESTANTS[name]
            files[name] = path = Path(folder) / name / file
            if options.get("precision") == "int8":
                options = {**options, "calibration": images}
            function(network, path, **options)
            arguments = ["--data", data, "--split", split, "--hint", hint, "--limit", str(limit)]
            long_side = network.working_size
            if long_side is not None:
                sides = [long_side] if isinstance(long_side, int) else long_side
                arguments += ["--size", *map(str, sides)]
            scores = in_process("score", path, *arguments)
            rows[name] = [100 * scores["pixel_accuracy"], 100 * scores["mean_iou"], size_of(path)]
            print(name, *(f"{x:.2f}" for x in rows[name]), flush=True)
        for name, milliseconds in times(files, size, rounds if size else 0, repeats).items():
            rows[name] += [statistics.median(milliseconds), min(milliseconds)]
    header = ["", "pixAcc %", "mIoU %", "MB", "milliseconds, median", "minimum"]
    lines = [[name, *row] for name, row in rows.items()]
    print(tabulate.tabulate(lines, header, tablefmt="github", floatfmt=".2f"))


def training_images(data: str, count: int) -> list[np.ndarray]:
    """Returns images of the training split, spread evenly."""
    paths = open_split(data, "train").image_paths
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [decode_image(str(paths[i])).numpy() for i in chosen]


def size_of(path: Path) -> float:
    """Returns the megabytes of an export, all files that belong to it included."""
    return sum(x.stat().st_size for x in path.parent.rglob("*") if x.is_file()) / 1e6


def times(files, size, rounds, repeats):
    """Returns the milliseconds of each contestant in each turn."""
    turns: dict[str, list[float]] = {name: [] for name in files} if rounds else {}
    for _ in range(rounds):
        for name, path in files.items():
            options = ["--size", str(size), "--repeats", str(repeats)]
            found = in_process("turn", path, "--hint", CONTESTANTS[name][-1], *options)
            turns[name].append(1000 * found["seconds"])
            print(f"{name:30} {turns[name][-1]:.1f} ms", flush=True)
    return turns


def in_process(command, path, *arguments):
    """Runs a subcommand of this module in a process of its own, and returns what it prints."""
    module = [sys.executable, "-m", "benchmarks.exported_files"]
    return json.loads(output_of([*module, command, str(path), *arguments]).splitlines()[-1])


def score(
    file: tyro.conf.Positional[Path],
    data: str,
    split: str = "test",
    size: tuple[int, ...] = (),
    limit: int = 10_000,
    hint: Hint = "f32",
):
    """Scores an exported file; masks are compared at their own size.

    Args:
        file: A SavedModel, or a file that ends in `.tflite`, `.onnx` or `.xml`.
        data: A folder data set, or `scenes`.
        split: The split.
        size: Long side to which images are resized, or bounds of long and short side.
        limit: Number of images to score, spread evenly over the split.
        hint: Precision that OpenVINO uses for what is not in int8.
    """
    images, predict = open_split(data, split), predictor(file, hint)
    metrics = keras_encnet.SegmentationMetrics(len(images.class_names))
    working_size = size[0] if len(size) == 1 else (size or None)
    chosen = np.linspace(0, len(images) - 1, min(limit, len(images))).round().astype(int)
    for i in tqdm(chosen):
        x = decode_image(str(images.image_paths[i]))[None]
        mask = read_mask(images.mask_paths[i], images.label_map)[None]
        seen = resize_images(x, scaled_size(x.shape[1:3], working_size))
        classes = predict(seen.numpy().astype("float32"))[..., None]
        own = tf.image.resize(classes, mask.shape[1:3], "nearest")
        metrics.update_state(mask, own[..., 0])
    print(json.dumps({name: float(value) for name, value in metrics.result().items()}))


def turn(file: tyro.conf.Positional[Path], size: int = 512, repeats: int = 5, hint: Hint = "f32"):
    """Times an exported file in this process, from a raw image to the class map."""
    image, predict = smooth_noise(1, size, size).astype("float32"), predictor(file, hint)
    print(json.dumps({"seconds": median_seconds(lambda: predict(image), repeats)}))


def predictor(file: Path, hint: Hint = "f32", threads: int = 2) -> Callable:
    """Returns a function from float32 images `(batch, height, width, 3)` to class maps."""
    if file.suffix in (".tflite", ".onnx", ".xml") and not file.is_file():
        raise SystemExit(f"There is no such file. Received: file={str(file)!r}")
    if file.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        @functools.cache
        def runner(shape):
            reader = Interpreter(str(file), num_threads=threads)
            reader.resize_tensor_input(reader.get_input_details()[0]["index"], shape)
            return reader.get_signature_runner()

        return lambda images: runner(images.shape)(images=images)["classes"]
    if file.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(file), options)
        return lambda images: session.run(["classes"], {"images": images})[0]
    if file.suffix == ".xml":
        import openvino

        hints = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(file, "CPU", hints)
        return lambda images: compiled({"images": images})["classes"]
    if not tf.saved_model.contains_saved_model(file):
        raise SystemExit(
            "Expected the folder of a SavedModel, or a file that ends in .tflite, .onnx or .xml. "
            f"Received: file={str(file)!r}"
        )
    signature = tf.saved_model.load(file).signatures["tensors"]
    return lambda images: signature(images=tf.constant(images))["classes"].numpy()


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"compare": compare, "score": score, "turn": turn})
