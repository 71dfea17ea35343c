"""Which network for which budget: operations, time, memory and file size by backbone and head.

    python -m benchmarks.backbones [--networks NAME ...] [--rounds N]

Measures exports of EncNet, and of other heads on ResNet-50, with 150 classes and random weights,
from a raw image of 512x512 pixels to the class map: each network and precision in a process of its
own, in turns. Results of the named networks replace those in docs/results/backbones.json;
docs/reports/backbones.md gets the table of all. Random weights do not change the time.
"""

import functools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tabulate
import tensorflow as tf
import tyro

import keras_encnet
from benchmarks.measuring import flops_of, median_seconds, output_of, peak_mebibytes
from benchmarks.random_models import randomize, smooth_noise
from keras_encnet import backbones
from keras_encnet.export import export_litert, export_saved_model
from training.research.experiments import with_generated

DOCS = Path(__file__).parents[1] / "docs"
RESULTS, PAGE = DOCS / "results" / "backbones.json", DOCS / "reports" / "backbones.md"
PRECISIONS = ("float32", "bfloat16")


def _resnet(
    build: Callable, neck: str, network: Callable = keras_encnet.EncNet
) -> Callable[..., keras_encnet.SegmentationModel]:
    output_stride = 8 if neck == "none" else 32
    return lambda **options: network(
        build(output_stride=output_stride, preprocessing="caffe"), neck=neck, **options
    )


def _application(name: str, **widths: int) -> Callable[..., keras_encnet.SegmentationModel]:
    return lambda **options: keras_encnet.EncNet(
        backbones.from_keras_applications(name), neck="jpu", **widths, **options
    )


# By the names in the table: EncNet from the smallest to the largest backbone, then other heads.
NETWORKS = {
    "MobileNetV3Small, widths of 128": _application(
        "MobileNetV3Small", neck_width=128, channels=128
    ),
    "MobileNetV3Small": _application("MobileNetV3Small"),
    "MobileNetV3Large": _application("MobileNetV3Large"),
    "EfficientNetV2B0": _application("EfficientNetV2B0"),
    "EfficientNetV2B3": _application("EfficientNetV2B3"),
    "ResNet-18": _resnet(backbones.ResNet18, "jpu"),
    "ConvNeXtTiny": _application("ConvNeXtTiny"),
    "ResNet-50": _resnet(backbones.ResNet50, "jpu"),
    "ResNet-50, head of 3x3": _resnet(
        backbones.ResNet50, "jpu", functools.partial(keras_encnet.EncNet, head_kernel=3)
    ),
    "ResNet-101": _resnet(backbones.ResNet101, "jpu"),
    "ResNet-50, dilated": _resnet(backbones.ResNet50, "none"),
    "ResNet-101, dilated": _resnet(backbones.ResNet101, "none"),
    "FCN, ResNet-50": _resnet(backbones.ResNet50, "jpu", keras_encnet.FCN),
    "PSPNet, ResNet-50": _resnet(backbones.ResNet50, "jpu", keras_encnet.PSPNet),
    "DeepLabv3, ResNet-50": _resnet(backbones.ResNet50, "jpu", keras_encnet.DeepLabV3),
    "FCN, ResNet-50, dilated": _resnet(backbones.ResNet50, "none", keras_encnet.FCN),
    "PSPNet, ResNet-50, dilated": _resnet(backbones.ResNet50, "none", keras_encnet.PSPNet),
    "DeepLabv3, ResNet-50, dilated": _resnet(backbones.ResNet50, "none", keras_encnet.DeepLabV3),
}


def main(
    networks: tuple[str, ...] = tuple(NETWORKS),
    size: int = 512,
    classes: int = 150,
    rounds: int = 3,
    repeats: int = 6,
):
    """Measures networks and updates the table.

    Args:
        networks: Names in the table.
        size: Height and width of the image.
        classes: Number of classes.
        rounds: Number of turns per network and precision.
        repeats: Calls per turn; the first is not counted.
    """
    unknown = sorted(set(networks) - set(NETWORKS))
    if unknown:
        raise SystemExit(f"`--networks` must be some of {list(NETWORKS)}. Received: {unknown}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / str(i) for i, name in enumerate(networks)}
        measured = {name: export(name, path, size, classes) for name, path in paths.items()}
        turns: dict[tuple[str, str], list[dict[str, float]]] = {}
        for _ in range(rounds):
            for name, path in paths.items():
                for precision in PRECISIONS:
                    command = ["turn", str(path / precision / "1"), str(size), str(repeats)]
                    printed = output_of([sys.executable, "-m", "benchmarks.backbones", *command])
                    turns.setdefault((name, precision), []).append(
                        json.loads(printed.splitlines()[-1])
                    )
                    print(name, precision, turns[name, precision][-1], flush=True)
    for (name, precision), measurements in turns.items():
        for key in ("milliseconds", "peak MiB"):
            values = [measurement[key] for measurement in measurements]
            measured[name][f"{key}, {precision}"] = round(statistics.median(values), 1)
    results = {name: {**results, **measured}.get(name) for name in NETWORKS}
    results = {name: result for name, result in results.items() if result}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(with_generated(PAGE.read_text(), "table of networks", table(results)))
    print(table(results))


def export(name: str, folder: Path, size: int, classes: int) -> dict[str, Any]:
    """Writes the exports of a network; returns what is known without running it."""
    model = randomize(NETWORKS[name](classes=classes))
    for precision in PRECISIONS:
        export_saved_model(model, folder / precision / "1", precision=precision)
    export_litert(model, folder / "model.tflite")
    files = [path for path in (folder / "float32").rglob("*") if path.is_file()]
    return {
        "parameters, millions": round(model.count_params() / 1e6, 2),
        "GFLOP": round(flops_of(model, (size, size)) / 1e9, 2),
        "SavedModel, MB": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "LiteRT, MB": round((folder / "model.tflite").stat().st_size / 1e6, 1),
    }


def turn(path: str, size: int, repeats: int):
    """Times a SavedModel in this process, with the loader of TensorFlow Serving."""
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
    signature = meta_graph.signature_def["tensors_uint8"]
    feed, fetch = signature.inputs["images"].name, signature.outputs["classes"].name
    image = smooth_noise(1, size, size)
    seconds = median_seconds(lambda: session.run(fetch, {feed: image}), repeats)
    print(json.dumps({"milliseconds": 1000 * seconds, "peak MiB": peak_mebibytes()}))


def table(results: dict[str, dict[str, Any]]) -> str:
    """Returns the results as a Markdown table."""
    columns = [
        "parameters, millions",
        "GFLOP",
        *(f"milliseconds, {precision}" for precision in PRECISIONS),
        *(f"peak MiB, {precision}" for precision in PRECISIONS),
        "SavedModel, MB",
        "LiteRT, MB",
    ]
    rows = [[name, *(result[column] for column in columns)] for name, result in results.items()]
    return tabulate.tabulate(rows, ["network", *columns], tablefmt="pipe")


if __name__ == "__main__":
    if sys.argv[1:2] == ["turn"]:
        turn(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        tyro.cli(main)
