"""Speed of exports compared with the Keras model and with another implementation.

    python -m benchmarks.export_speed speed [--peer "PYTHON SCRIPT"]
    python -m benchmarks.export_speed shares

`speed` times EncNet50 from image to class map: the Keras model, and its exports through the session
loader that TensorFlow Serving uses, each in a separate process, in turns. `--peer` is a command
that times another implementation: it gets the arguments `infer --size S --batch 1 --classes C` and
must print the seconds after the word "median". `shares` shows how much of the time for an encoded
image is spent on upsampling, arg-max and PNG encoding.
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

from benchmarks.measuring import flops_of, median_seconds, number_after, output_of, seconds_of
from benchmarks.random_models import encnet50, smooth_noise
from keras_encnet.export import export_saved_model, image_bytes
from keras_encnet.export.network import InferenceNetwork
from keras_encnet.labels import default_palette
from keras_encnet.utils.class_maps import class_maps
from keras_encnet.utils.png import encode_indexed_png

CONTESTANTS = ("keras", "float32", "bfloat16")


def speed(
    peer: str | None = None, size: int = 512, classes: int = 150, rounds: int = 3, repeats: int = 5
):
    """Times EncNet50 from image to class map, batch 1.

    Args:
        peer: Command that times another implementation.
        size: Height and width of the image.
        classes: Number of classes.
        rounds: Number of turns per contestant.
        repeats: Calls per turn; the first is not counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        flops = prepare(Path(folder), size, classes)
        seconds = {name: [] for name in (*CONTESTANTS, *(["peer"] if peer else []))}
        for _ in range(rounds):
            for name, turns in seconds.items():
                if name == "peer":
                    options = f"infer --size {size} --batch 1 --classes {classes}"
                    printed = output_of(shlex.split(f"{peer} {options}"))
                    turns.append(number_after("median", printed))
                else:
                    options = f"--folder {folder} --contestant {name} --size {size}"
                    command = [sys.executable, "-m", "benchmarks.export_speed", "turn"]
                    command += [*options.split(), "--repeats", str(repeats)]
                    turns.append(json.loads(output_of(command).splitlines()[-1]))
                print(f"{name:9} {turns[-1]:.3f} s", flush=True)
        peaks = {name: peak_flops(name) for name in ("float32", "bfloat16")}
    print(f"\n{flops / 1e9:.0f} GFLOP per image; a large matrix product reaches", end=" ")
    print(", ".join(f"{peak / 1e9:.0f} GFLOP/s in {name}" for name, peak in peaks.items()))
    rows = []
    for name, turns in seconds.items():
        median = statistics.median(turns)
        ratio = peer and statistics.median(
            own / other for own, other in zip(turns, seconds["peer"], strict=True)
        )
        peak = peaks["bfloat16" if name == "bfloat16" else "float32"]
        share = None if name == "peer" else 100 * flops / median / peak
        rows.append((name, median, min(turns), ratio or None, share))
    header = ("", "median s", "minimum s", "of the peer's time", "% of a matrix product's FLOP/s")
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=(None, *[".3f"] * 3, ".0f")))


def turn(
    folder: Path, contestant: Literal["keras", "float32", "bfloat16"], size: int, repeats: int
):
    """Times one contestant in this process, which `speed` started."""
    image = smooth_noise(1, size, size)
    if contestant == "keras":
        model = keras.models.load_model(folder / "model.keras")
        print(json.dumps(median_seconds(lambda: model.segment(image), repeats)))
        return
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        path = str(folder / contestant / "1")
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
    signature = meta_graph.signature_def["tensors_uint8"]
    feed, fetch = signature.inputs["images"].name, signature.outputs["classes"].name
    print(json.dumps(median_seconds(lambda: session.run(fetch, {feed: image}), repeats)))


def shares(size: int = 512, classes: int = 150, repeats: int = 7):
    """Times the steps from an encoded image to an encoded class map, at the size of the export.

    Args:
        size: Height and width of the image.
        classes: Number of classes.
        repeats: Number of calls; the first is not counted.
    """
    image = smooth_noise(1, size, size)
    jpeg = tf.io.encode_jpeg(image[0])
    model = encnet50("mmsegmentation", classes)
    limits, palette = image_bytes.Limits(), default_palette(classes)

    @tf.function
    def read(data):
        _, pixels = image_bytes.read(data, limits)
        return tf.image.resize(pixels, (size, size), antialias=True)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, classes))])
    def upsample(logits):
        return tf.raw_ops.ResizeBilinear(images=logits, size=(size, size), half_pixel_centers=True)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, classes))])
    def class_map(logits):
        return class_maps(logits, tf.constant(size), tf.constant(size), False)

    encode = tf.function(lambda mask: encode_indexed_png(mask, palette))
    logits = InferenceNetwork(model)(tf.cast(image, tf.float32))["segmentation"]
    upsampled = upsample(logits)
    mask = class_map(logits)[0]
    steps = {
        "JPEG to pixels": lambda: read(jpeg),
        "upsampling and arg-max, in strips": lambda: class_map(logits),
        "PNG": lambda: encode(mask),
    }
    alternatives = {
        "upsampling, not in strips": lambda: upsample(logits),
        "arg-max, not in strips": lambda: tf.argmax(upsampled, -1, tf.int32),
    }
    times = {
        name: median_seconds(call, repeats) for name, call in {**steps, **alternatives}.items()
    }
    for precision in ("float32", "bfloat16"):
        network = InferenceNetwork(model, precision=precision)
        x = tf.cast(image, tf.float32)
        network_time = median_seconds(lambda: network(x)["segmentation"], repeats)  # noqa: B023
        total = network_time + sum(times[name] for name in steps)
        rows = [("network", network_time), *times.items()]
        rows = [(name, 1000 * t, 100 * t / total) for name, t in rows]
        header = (precision, "ms", "% of the total")
        print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=".1f"), "\n")


def prepare(folder, size, classes):
    """Writes the contestants of `speed`; returns the floating-point operations per image."""
    model = encnet50("mmsegmentation", classes)
    model.save(folder / "model.keras")
    for precision in ("float32", "bfloat16"):
        export_saved_model(model, folder / precision / "1", precision=precision)
    return flops_of(model, (size, size))


def peak_flops(precision, side=4096):
    """Measures the FLOP/s of a large matrix product."""
    x = tf.cast(tf.random.normal((side, side)), precision)
    product = tf.function(lambda x: tf.reduce_sum(tf.cast(x @ x, tf.float32)[:1]))
    return 2 * side**3 / min(seconds_of(lambda: product(x)) for _ in range(5))


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"speed": speed, "shares": shares, "turn": turn})
