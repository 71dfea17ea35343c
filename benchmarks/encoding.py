"""Time and memory of the Encoding layer against the direct formula, forward and backward.

    python benchmarks/encoding.py [--size 64] [--batch 4] [--peer "PYTHON SCRIPT"]

The direct formula builds the residuals of all pixels to all codewords, `(batch, pixels,
codewords, channels)`. Each contestant runs in a process of its own, which prints the median
seconds of a call and the memory that the calls add to the peak. `--peer` is a command that times
another implementation, to which ` encoding --size S --batch B` is added; it prints seconds behind
the word "median".
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import re
import resource
import shlex
import statistics
import subprocess
import sys
import time
from typing import Literal

import tyro

CHANNELS, CODEWORDS = 512, 32


def main(
    contestant: Literal["all", "layer", "direct"] = "all",
    size: int = 64,
    batch: int = 4,
    repeats: int = 7,
    peer: str | None = None,
):
    """Compares the Encoding layer with the direct formula.

    Args:
        contestant: which to run in this process; `all` runs each in its own.
        size: height and width of the features.
        batch: images.
        repeats: calls, of which the first doesn't count.
        peer: command that times another implementation.
    """
    if contestant != "all":
        print(json.dumps(measure(contestant, size, batch, repeats)))
        return
    options = ["--size", str(size), "--batch", str(batch)]
    results = {}
    for name in ("layer", "direct"):
        command = [sys.executable, __file__, "--contestant", name, "--repeats", str(repeats)]
        results[name] = json.loads(output_of([*command, *options]).splitlines()[-1])
        report(name, **results[name])
    layer, direct = results["layer"], results["direct"]
    print(f"direct formula / layer: {direct['seconds'] / layer['seconds']:.1f} times the time")
    print(f"layer / direct formula: {layer['mebibytes'] / direct['mebibytes']:.4f} of the memory")
    if peer:
        printed = output_of([*shlex.split(peer), "encoding", *options])
        print(f"peer   {printed.strip()}")
        seconds = float(re.search(r"median ([\d.]+)", printed)[1])
        print(f"peer / layer: {seconds / layer['seconds']:.1f} times the time")


def measure(contestant, size, batch, repeats):
    """Times forward and backward of `sum(encoded ** 2)` in this process."""
    import tensorflow as tf

    from keras_encnet.layers import Encoding

    layer = Encoding(CODEWORDS)
    layer.build((None, None, None, CHANNELS))
    weights = [weight.value for weight in layer.weights]

    def direct(x):
        codewords, scale = weights
        residuals = tf.reshape(x, (batch, -1, 1, CHANNELS)) - codewords
        assignment = tf.nn.softmax(scale * tf.reduce_sum(residuals**2, -1))
        return tf.reduce_sum(assignment[..., None] * residuals, 1)

    encode = {"layer": layer, "direct": direct}[contestant]

    @tf.function
    def call(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(encode(x) ** 2)
        return tape.gradient(loss, [x, *weights])

    # Warm up on one pixel, so that what TensorFlow itself takes isn't counted.
    call.get_concrete_function(tf.TensorSpec((batch, size, size, CHANNELS)))
    x = tf.random.normal((batch, size, size, CHANNELS))
    before = peak_mebibytes()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        [gradient.numpy() for gradient in call(x)]
        seconds.append(time.perf_counter() - start)
    return {
        "seconds": statistics.median(seconds[1:]),
        "mebibytes": peak_mebibytes() - before,
    }


def peak_mebibytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def output_of(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def report(name, seconds, mebibytes):
    print(f"{name:6} median {seconds:.4f} s, {mebibytes:.0f} MiB above the input")


if __name__ == "__main__":
    tyro.cli(main)
