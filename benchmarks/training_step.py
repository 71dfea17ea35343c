"""Time and memory of a training step of EncNet50, compared with another implementation.

    python -m benchmarks.training_step [--peer "PYTHON SCRIPT"] [--rounds 3]

The contestants are EncNet50 in float32, in bfloat16, and with Keras's batch normalization, which
shows the effect of the fused one; EncNet50 with joint pyramid upsampling in float32 and bfloat16;
and `--peer`, a command that times another implementation. It gets the arguments
`train --size S --batch B --classes C --repeats R` and must print the seconds after the word
"median" and the MiB after the word "peak". Contestants take turns in separate processes.
"""

import shlex
import statistics
import sys
from typing import Literal

import keras
import numpy as np
import tabulate
import tyro

import keras_encnet
from benchmarks.measuring import median_seconds, number_after, output_of, peak_mebibytes
from benchmarks.random_models import NETWORKS

# The precision and the network of each contestant.
CONTESTANTS = {
    "float32": ("float32", "dilated"),
    "bfloat16": ("mixed_bfloat16", "dilated"),
    "keras_normalization": ("float32", "dilated"),
    "jpu_float32": ("float32", "jpu"),
    "jpu_bfloat16": ("mixed_bfloat16", "jpu"),
}


def main(
    contestant: Literal[("all", *CONTESTANTS)] = "all",  # type: ignore[valid-type]
    size: int = 256,
    batch: int = 4,
    classes: int = 21,
    variant: str = "keras_encnet",
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
        variant: Structure of the networks; that of the peer is `mmsegmentation`.
        repeats: Steps per process; the first is not counted.
        rounds: Processes per contestant.
        peer: Command that times another implementation.
    """
    if contestant != "all":
        print(measure(contestant, size, batch, classes, variant, repeats))
        return
    options = f"--size {size} --batch {batch} --classes {classes} --repeats {repeats}".split()
    own = [sys.executable, "-m", "benchmarks.training_step", *options, "--variant", variant]
    commands = {name: [*own, "--contestant", name] for name in CONTESTANTS}
    if peer:
        commands["peer"] = [*shlex.split(peer), "train", *options]
    seconds, mebibytes = {}, {}
    for _ in range(rounds):
        for name, command in commands.items():
            printed = output_of(command)
            seconds.setdefault(name, []).append(number_after("median", printed))
            mebibytes.setdefault(name, []).append(number_after("peak", printed))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows = [
        (
            name,
            medians[name],
            min(seconds[name]),
            max(seconds[name]),
            medians[name] / medians["peer"] if peer else None,
            medians[name] / medians[name.removeprefix("jpu_")] if "jpu" in name else None,
            max(mebibytes[name]),
        )
        for name in commands
    ]
    header = (
        *("", "median s", "minimum s", "maximum s", "of the peer's time"),
        *("of the dilated network's time", "peak MiB"),
    )
    formats = (None, *[".3f"] * 5, ".0f")
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=formats))


def measure(contestant, size, batch, classes, variant, repeats):
    """Measures steps in this process: forward, losses, metrics, backward, SGD."""
    precision, network = CONTESTANTS[contestant]
    keras.config.set_dtype_policy(precision)
    if contestant == "keras_normalization":
        keras_encnet.layers.BatchNormalization.call = keras.layers.BatchNormalization.call
    # Without the auxiliary head, like the peer.
    model = keras_encnet.EncNet50(
        classes,
        variant=variant,
        auxiliary="none",
        backbone_weights=None,
        **NETWORKS[network],
    )
    model.compile(keras_encnet.optimizers.SGD(0.01), **keras_encnet.objectives(model))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3)).astype("uint8")
    masks = rng.integers(0, classes, (batch, size, size)).astype("int32")
    seconds = median_seconds(lambda: model.train_on_batch(images, masks), repeats)
    return f"median {seconds:.4f} s peak {peak_mebibytes():.0f} MiB"


if __name__ == "__main__":
    tyro.cli(main)
