"""What an export costs.

    python -m benchmarks.export_speed speed [--peer "PYTHON SCRIPT"]
    python -m benchmarks.export_speed shares

`speed` times EncNet50 from image to class map: the Keras model, and its exports through the session
loader that TensorFlow Serving stands on, each in a process of its own, in turn, several times over.
`--peer` is a command that times another implementation, to which ` infer --size S --batch 1
--classes C` is added; it prints seconds behind the word "median". `shares` tells what part of an
answer to an encoded image upsampling, arg-max and PNG take.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import tabulate
import tyro

from benchmarks.random_models import encnet50, smooth_noise

CONTESTANTS = ("keras", "float32", "bfloat16")


def speed(
    peer: str | None = None, size: int = 512, classes: int = 150, rounds: int = 3, repeats: int = 5
):
    """Times EncNet50 from image to class map, batch 1.

    Args:
        peer: command that times another implementation.
        size: height and width of the image.
        classes: number of classes.
        rounds: how often each contestant has its turn.
        repeats: calls in a turn, of which the first doesn't count.
    """
    with tempfile.TemporaryDirectory() as folder:
        flops = prepare(Path(folder), size, classes)
        seconds = {name: [] for name in (*CONTESTANTS, *(["peer"] if peer else []))}
        for _ in range(rounds):
            for name, turns in seconds.items():
                if name == "peer":
                    options = f" infer --size {size} --batch 1 --classes {classes}"
                    printed = output_of(shlex.split(peer + options))
                    turns.append(float(re.search(r"median ([\d.]+)", printed)[1]))
                else:
                    turn_of = f"--folder {folder} --contestant {name} --size {size}"
                    command = [sys.executable, "-m", "benchmarks.export_speed", "turn"]
                    command += [*turn_of.split(), "--repeats", str(repeats)]
                    turns.append(json.loads(output_of(command).splitlines()[-1]))
                print(f"{name:9} {turns[-1]:.3f} s", flush=True)
        peaks = {name: peak_flops(name) for name in ("float32", "bfloat16")}
    print(f"\n{flops / 1e9:.0f} GFLOP an image; a large matrix product reaches", end=" ")
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
    header = ("", "median s", "least s", "of the peer's time", "% of a matrix product's FLOP/s")
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=(None, *[".3f"] * 3, ".0f")))


def turn(
    folder: Path, contestant: Literal["keras", "float32", "bfloat16"], size: int, repeats: int
):
    """Times one contestant in this process, which `speed` started."""
    import tensorflow as tf

    image = smooth_noise(1, size, size)
    if contestant == "keras":
        import keras

        import keras_encnet  # noqa: F401

        model = keras.models.load_model(folder / "model.keras")

        def call():
            return model.segment(image)
    else:
        session = tf.compat.v1.Session(graph=tf.Graph())
        with session.graph.as_default():
            path = str(folder / contestant / "1")
            meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
        signature = meta_graph.signature_def["tensors_uint8"]
        feed, fetch = signature.inputs["images"].name, signature.outputs["classes"].name

        def call():
            return session.run(fetch, {feed: image})

    print(json.dumps(median_seconds(call, repeats)))


def shares(size: int = 512, classes: int = 150, repeats: int = 7):
    """Times the parts of an answer to an encoded image of the export's own size.

    Args:
        size: height and width of the image.
        classes: number of classes.
        repeats: calls, of which the first doesn't count.
    """
    import tensorflow as tf

    from keras_encnet.export.class_maps import class_maps
    from keras_encnet.export.image_bytes import Limits, decode, inspect
    from keras_encnet.export.network import Network
    from keras_encnet.labels import default_palette
    from keras_encnet.utils.png import encode_indexed_png

    image = smooth_noise(1, size, size)
    jpeg = tf.io.encode_jpeg(image[0])
    model = encnet50("mmsegmentation", classes)
    limits, palette = Limits(), default_palette(classes)

    @tf.function
    def read(data):
        _, data = inspect(data, limits)
        return tf.image.resize(decode(data), (size, size), antialias=True)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, classes))])
    def upsample(logits):
        return tf.raw_ops.ResizeBilinear(images=logits, size=(size, size), half_pixel_centers=True)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, classes))])
    def draw(logits):
        return class_maps(logits, tf.constant(size), tf.constant(size), False)

    encode = tf.function(lambda mask: encode_indexed_png(mask, palette))
    logits = Network(model)(tf.cast(image, tf.float32))["segmentation"]
    whole = upsample(logits)
    mask = draw(logits)[0]
    parts = {
        "JPEG to pixels": lambda: read(jpeg),
        "upsampling and arg-max, strip by strip": lambda: draw(logits),
        "PNG": lambda: encode(mask),
    }
    aside = {
        "upsampling, whole": lambda: upsample(logits),
        "arg-max, whole": lambda: tf.argmax(whole, -1, tf.int32),
    }
    times = {name: median_seconds(call, repeats) for name, call in {**parts, **aside}.items()}
    for precision in ("float32", "bfloat16"):
        network = Network(model, precision=precision)
        x = tf.cast(image, tf.float32)
        network_time = median_seconds(lambda: network(x)["segmentation"], repeats)  # noqa: B023
        total = network_time + sum(times[name] for name in parts)
        rows = [("network", network_time), *times.items()]
        rows = [(name, 1000 * t, 100 * t / total) for name, t in rows]
        header = (precision, "ms", "% of an answer")
        print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=".1f"), "\n")


def prepare(folder, size, classes):
    """Writes the contestants of `speed`; returns the floating-point operations of an image."""
    import tensorflow as tf

    from keras_encnet.export import export_saved_model
    from keras_encnet.export.network import Network

    model = encnet50("mmsegmentation", classes)
    model.save(folder / "model.keras")
    for precision in ("float32", "bfloat16"):
        export_saved_model(model, folder / precision / "1", precision=precision)
    graph = Network(model, size=(size, size)).outputs.graph
    one = tf.Graph()
    with one.as_default():
        tf.import_graph_def(
            graph.as_graph_def(),
            {"images": tf.compat.v1.placeholder(tf.float32, (1, size, size, 3))},
        )
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(one, options=options).total_float_ops


def peak_flops(precision, side=4096):
    """Measures the FLOP/s of a large matrix product."""
    import tensorflow as tf

    x = tf.cast(tf.random.normal((side, side)), precision)
    product = tf.function(lambda x: tf.reduce_sum(tf.cast(x @ x, tf.float32)[:1]))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        product(x).numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def median_seconds(call, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer = call()
        if hasattr(answer, "numpy"):
            answer.numpy()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def output_of(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"speed": speed, "shares": shares, "turn": turn})
