"""Time and memory of the Encoding layer compared with the direct formula, forward and backward.

    python -m benchmarks.encoding [--size 64] [--batch 4] [--peer "PYTHON SCRIPT"]

The direct formula builds the residuals of all pixels to all codewords, `(batch, pixels,
codewords, channels)`. Each contestant runs in a separate process, which reports the median time
of a call and the increase of peak memory. `--peer` is a command that times another implementation:
it gets the arguments `encoding --size S --batch B` and must print the seconds after the word
"median".
"""

import json
import shlex
import sys
from typing import Literal

import tensorflow as tf
import tyro

from benchmarks.measuring import median_seconds, number_after, output_of, peak_mebibytes
from keras_encnet.layers import Encoding

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
        contestant: The contestant to run in this process; `all` runs each in its own.
        size: Height and width of the features.
        batch: Images per batch.
        repeats: Number of calls; the first is not counted.
        peer: Command that times another implementation.
    """
    if contestant != "all":
        print(json.dumps(measure(contestant, size, batch, repeats)))
        return
    options = ["--size", str(size), "--batch", str(batch)]
    results = {}
    for name in ("layer", "direct"):
        command = [sys.executable, "-m", "benchmarks.encoding", "--contestant", name, *options]
        printed = output_of([*command, "--repeats", str(repeats)])
        results[name] = result = json.loads(printed.splitlines()[-1])
        print(
            f"{name:6} median {result['seconds']:.4f} s, {result['mebibytes']:.0f} MiB above the "
            "input"
        )
    layer, direct = results["layer"], results["direct"]
    print(f"direct formula / layer: {direct['seconds'] / layer['seconds']:.1f} times the time")
    print(f"layer / direct formula: {layer['mebibytes'] / direct['mebibytes']:.4f} of the memory")
    if peer:
        printed = output_of([*shlex.split(peer), "encoding", *options])
        print(f"peer   {printed.strip()}")
        ratio = number_after("median", printed) / layer["seconds"]
        print(f"peer / layer: {ratio:.1f} times the time")


def measure(contestant, size, batch, repeats):
    """Measures the forward and backward pass of `sum(encoded ** 2)` in this process."""
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

    # Traced before, so that what TensorFlow itself allocates is not counted.
    call.get_concrete_function(tf.TensorSpec((batch, size, size, CHANNELS)))
    x = tf.random.normal((batch, size, size, CHANNELS))
    before = peak_mebibytes()
    seconds = median_seconds(lambda: [gradient.numpy() for gradient in call(x)], repeats)
    return {"seconds": seconds, "mebibytes": peak_mebibytes() - before}


if __name__ == "__main__":
    tyro.cli(main)
