"""Time and memory of a training step of EncNet50, compared with another implementation.

    python -m benchmarks.training_step [--peer "PYTHON SCRIPT"] [--rounds 3]

The contestants are EncNet50 in float32, in bfloat16, and with Keras's batch normalization, which
shows the effect of the fused one; and `--peer`, a command that times another implementation. It
gets the arguments `train --size S --batch B --classes C --repeats R` and must print the seconds
after the word "median" and the MiB after the word "peak". Contestants take turns
in separate processes.
"""

import shlex
import statistics
import sys
from typing import Literal

import keras
import numpy as np
import tyro

import keras_encnet
from benchmarks.measuring import median_seconds, number_after, output_of, peak_mebibytes

CONTESTANTS = ("float32", "bfloat16", "keras_normalization")


def main(
    contestant: Literal["all", "float32", "bfloat16", "keras_normalization"] = "all",
    size: int = 256,
    batch: int = 4,
    classes: int = 21,
    repeats: int = 5,
    rounds: int = 3,
    peer: str | None = None,
):
    """Compares training steps.

    Args:
        contestant: The contestant to run in this process; `all` runs each in its own.
        size: Height and width of the images.
        batch: Images per batch.
        classes: Number of classes.
        repeats: Steps per process; the first is not counted.
        rounds: Processes per contestant.
        peer: Command that times another implementation.
    """
    if contestant != "all":
        print(measure(contestant, size, batch, classes, repeats))
        return
    options = f"--size {size} --batch {batch} --classes {classes} --repeats {repeats}".split()
    own = [sys.executable, "-m", "benchmarks.training_step", *options, "--contestant"]
    commands = {name: [*own, name] for name in CONTESTANTS}
    if peer:
        commands["peer"] = [*shlex.split(peer), "train", *options]
    seconds, mebibytes = {}, {}
    for _ in range(rounds):
        for name, command in commands.items():
            printed = output_of(command)
            seconds.setdefault(name, []).append(number_after("median", printed))
            mebibytes.setdefault(name, []).append(number_after("peak", printed))
    base = "peer" if peer else "keras_normalization"
    for name in commands:
        median = statistics.median(seconds[name])
        ratio = median / statistics.median(seconds[base])
        print(
            f"{name:20} {median:.3f} s ({min(seconds[name]):.3f} to {max(seconds[name]):.3f}), "
            f"{ratio:.2f} of {base}, peak {max(mebibytes[name]):.0f} MiB"
        )


def measure(contestant, size, batch, classes, repeats):
    """Measures steps in this process: forward, losses, metrics, backward, SGD."""
    if contestant == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    if contestant == "keras_normalization":
        keras_encnet.layers.BatchNormalization.call = keras.layers.BatchNormalization.call
    # As mmsegmentation trains it, without the auxiliary head.
    model = keras_encnet.EncNet50(
        classes=classes, variant="mmsegmentation", auxiliary="none", backbone_weights=None
    )
    model.compile(keras_encnet.optimizers.SGD(0.01), **keras_encnet.objectives(model))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3)).astype("uint8")
    masks = rng.integers(0, classes, (batch, size, size)).astype("int32")
    seconds = median_seconds(lambda: model.train_on_batch(images, masks), repeats)
    return f"median {seconds:.4f} s peak {peak_mebibytes():.0f} MiB"


if __name__ == "__main__":
    tyro.cli(main)
