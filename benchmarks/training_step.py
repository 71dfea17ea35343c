"""Time and memory of a training step of EncNet50, against another implementation.

    python benchmarks/training_step.py [--peer "PYTHON SCRIPT"] [--rounds 3]

Contestants are EncNet50 in float32, in bfloat16, and, for what fused batch normalization saves,
with Keras's; and `--peer`, a command that times another implementation, to which
` train --size S --batch B --classes C --repeats R` is added and which prints seconds behind the
word "median" and MiB behind the word "peak". Each runs in a process of its own, in turns.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import re
import resource
import shlex
import statistics
import subprocess
import sys
import time
from typing import Literal

import tyro

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
        contestant: which to run in this process; `all` runs each in its own.
        size: height and width of the images.
        batch: images.
        classes: classes.
        repeats: steps of a process, of which the first doesn't count.
        rounds: processes of each contestant.
        peer: command that times another implementation.
    """
    if contestant != "all":
        print(measure(contestant, size, batch, classes, repeats))
        return
    options = f"--size {size} --batch {batch} --classes {classes} --repeats {repeats}".split()
    commands = {
        name: [sys.executable, __file__, "--contestant", name, *options] for name in CONTESTANTS
    }
    if peer:
        commands["peer"] = [*shlex.split(peer), "train", *options]
    seconds, mebibytes = {}, {}
    for _ in range(rounds):
        for name, command in commands.items():
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds.setdefault(name, []).append(float(re.search(r"median ([\d.]+)", printed)[1]))
            mebibytes.setdefault(name, []).append(float(re.search(r"peak ([\d.]+)", printed)[1]))
    base = "peer" if peer else "keras_normalization"
    for name in commands:
        median = statistics.median(seconds[name])
        ratio = median / statistics.median(seconds[base])
        print(
            f"{name:20} {median:.3f} s ({min(seconds[name]):.3f} to {max(seconds[name]):.3f}), "
            f"{ratio:.2f} of {base}, peak {max(mebibytes[name]):.0f} MiB"
        )


def measure(contestant, size, batch, classes, repeats):
    """Times steps in this process: forward, losses, metrics, backward, SGD."""
    import keras
    import numpy as np

    import keras_encnet

    if contestant == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    if contestant == "keras_normalization":
        keras_encnet.layers.BatchNormalization.call = keras.layers.BatchNormalization.call
    # As mmsegmentation trains it, without the auxiliary mask.
    model = keras_encnet.EncNet50(
        classes=classes, variant="mmsegmentation", auxiliary="none", backbone_weights=None
    )
    model.compile(keras_encnet.optimizers.SGD(0.01), **keras_encnet.objectives(model))
    draw = np.random.default_rng(0)
    images = draw.normal(size=(batch, size, size, 3)).astype("float32")
    masks = draw.integers(0, classes, (batch, size, size)).astype("int32")
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.train_on_batch(images, masks)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"median {statistics.median(seconds[1:]):.4f} s peak {peak:.0f} MiB"


if __name__ == "__main__":
    tyro.cli(main)
