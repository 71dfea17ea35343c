"""Speed of exports compared with the Keras model and with other implementations.

    python -m benchmarks.export_speed speed [--openvino] [--peer "PYTHON SCRIPT"]

`speed` times EncNet50, dilated and with joint pyramid upsampling, from image to class map: the
Keras model, and its exports, with constants or variables (`unfrozen`), through the session loader
that TensorFlow Serving uses, each in a separate process, in turns. `--openvino`
(`keras-encnet[benchmarks]`) adds OpenVINO, which runs the ONNX export. `--peer` is a command that
times another implementation: it gets the arguments `infer --size S --batch 1 --classes C` and must
print the seconds after the word "median" and the MiB after the word "peak".
"""

import json
import shlex
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Literal

import keras
import tabulate
import tensorflow as tf
import tyro

from benchmarks.measuring import (
    flops_of,
    median_seconds,
    number_after,
    output_of,
    peak_mebibytes,
    seconds_of,
)
from benchmarks.random_models import NETWORKS, encnet50, smooth_noise
from keras_encnet.export import export_onnx, export_saved_model

PRECISIONS = ("float32", "bfloat16")
# Whether their variables are constants.
SAVED_MODELS = {"saved_model": True, "unfrozen": False}


def speed(
    peer: str | None = None,
    openvino: bool = False,
    size: int = 512,
    classes: int = 150,
    variant: str = "keras_encnet",
    rounds: int = 3,
    repeats: int = 5,
):
    """Times EncNet50 from image to class map, batch 1.

    Args:
        peer: Command that times another implementation.
        openvino: Also time OpenVINO.
        size: Height and width of the image.
        classes: Number of classes.
        variant: Structure of the networks; that of the peer is `mmsegmentation`.
        rounds: Number of turns per contestant.
        repeats: Calls per turn; the first is not counted.
    """
    contestants = [
        (network, *how)
        for network in NETWORKS
        for how in (
            ("keras", "float32"),
            *((kind, precision) for kind in SAVED_MODELS for precision in PRECISIONS),
            *(("openvino", precision) for precision in PRECISIONS if openvino),
        )
    ]
    with tempfile.TemporaryDirectory() as folder:
        flops = {
            name: prepare(Path(folder), name, size, classes, variant, openvino) for name in NETWORKS
        }
        turns = {contestant: [] for contestant in [*contestants, *(["peer"] if peer else [])]}
        for _ in range(rounds):
            for contestant, results in turns.items():
                if contestant == "peer":
                    options = f"infer --size {size} --batch 1 --classes {classes}"
                    printed = output_of(shlex.split(f"{peer} {options}"))
                    results.append([number_after(word, printed) for word in ("median", "peak")])
                else:
                    names = ("--network", "--runtime", "--precision")
                    command = [sys.executable, "-m", "benchmarks.export_speed", "turn"]
                    command += ["--folder", folder, "--size", str(size), "--repeats", str(repeats)]
                    command += [x for pair in zip(names, contestant, strict=True) for x in pair]
                    results.append(json.loads(output_of(command).splitlines()[-1]))
                print(f"{label(contestant):30} {results[-1][0]:.3f} s", flush=True)
        peaks = {name: peak_flops(name) for name in PRECISIONS}
    print("\nGFLOP per image:", *(f"{name} {count / 1e9:.0f}" for name, count in flops.items()))
    print("A large matrix product reaches", end=" ")
    print(", ".join(f"{peak / 1e9:.0f} GFLOP/s in {name}" for name, peak in peaks.items()))
    rows = [row(contestant, turns, flops, peaks) for contestant in turns]
    header = (
        *("", "median s", "minimum s", "of the peer's time", "of the dilated network's time"),
        *("% of a matrix product's FLOP/s", "peak MiB"),
    )
    formats = (None, *[".3f"] * 4, ".0f", ".0f")
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=formats))


def label(contestant):
    return contestant if contestant == "peer" else " ".join(contestant)


def row(contestant, turns, flops, peaks):
    """Returns the row of a contestant, given the seconds and MiB of all turns."""
    seconds = [turn[0] for turn in turns[contestant]]

    def ratio(other):
        if other not in turns or other == contestant:
            return None
        return statistics.median(
            own / turn[0] for own, turn in zip(seconds, turns[other], strict=True)
        )

    median = statistics.median(seconds)
    network, *how = ("peer",) if contestant == "peer" else contestant
    share = how and 100 * flops[network] / median / peaks[how[-1]]
    memory = max(turn[1] for turn in turns[contestant])
    to_dilated = ratio(("dilated", *how)) if how else None
    return label(contestant), median, min(seconds), ratio("peer"), to_dilated, share or None, memory


def turn(
    folder: Path,
    network: str,
    runtime: Literal["keras", "saved_model", "unfrozen", "openvino"],
    precision: str,
    size: int,
    repeats: int,
):
    """Times one contestant in this process, which `speed` started."""
    image, folder = smooth_noise(1, size, size), folder / network
    if runtime == "keras":
        model = keras.models.load_model(folder / "model.keras")
        seconds = median_seconds(lambda: model.segment(image), repeats)
    elif runtime == "openvino":
        import openvino  # an optional dependency

        hints = {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision]}
        compiled = openvino.Core().compile_model(str(folder / "model.onnx"), "CPU", hints)
        image = image.astype("float32")
        seconds = median_seconds(lambda: compiled({"images": image})["classes"], repeats)
    else:
        session = tf.compat.v1.Session(graph=tf.Graph())
        with session.graph.as_default():
            path = str(folder / runtime / precision)
            meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
        signature = meta_graph.signature_def["tensors_uint8"]
        feed, fetch = signature.inputs["images"].name, signature.outputs["classes"].name
        seconds = median_seconds(lambda: session.run(fetch, {feed: image}), repeats)
    print(json.dumps([seconds, peak_mebibytes()]))


def prepare(folder, network, size, classes, variant, openvino):
    """Writes the contestants of a network; returns its floating-point operations per image."""
    folder = folder / network
    folder.mkdir()
    model = encnet50(variant, classes, **NETWORKS[network])
    model.save(folder / "model.keras")
    if openvino:
        export_onnx(model, folder / "model.onnx")
    for kind, freeze in SAVED_MODELS.items():
        for precision in PRECISIONS:
            path = folder / kind / precision
            export_saved_model(model, path, precision=precision, freeze=freeze)
    return flops_of(model, (size, size))


def peak_flops(precision, side=4096):
    """Measures the FLOP/s of a large matrix product."""
    x = tf.cast(tf.random.normal((side, side)), precision)
    product = tf.function(lambda x: tf.reduce_sum(tf.cast(x @ x, tf.float32)[:1]))
    return 2 * side**3 / min(seconds_of(lambda: product(x)) for _ in range(5))


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"speed": speed, "turn": turn})
