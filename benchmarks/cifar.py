"""Time of a training step of the CIFAR networks, and whether their input keeps up.

    python -m benchmarks.cifar [--width 64] [--precision bfloat16]

The networks take turns on one batch. SE-ResNet-14 has EncNet-14's blocks with another gate, so that
the steps from row to row tell what costs: first the blocks, then the encoding. The input pipeline
draws its batches from as many random images as CIFAR-10 has.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import statistics
import time
from typing import Literal

import keras
import numpy as np
import tabulate
import tyro

import keras_encnet
from training.input import cifar_batches
from training.input.cifar_batches import Split

IMAGES = 50_000


def main(
    width: int = 64,
    batch: int = 128,
    steps: int = 9,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
):
    """Compares the networks, and the input pipeline with the baseline.

    Args:
        width: channels of the first stage.
        batch: images of a batch.
        steps: steps of each network, of which the first two don't count.
        precision: of the arithmetic.
    """
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (IMAGES, 32, 32, 3)).astype("uint8")
    labels = draw.integers(0, 10, IMAGES).astype("int32")
    split = Split("train", images, labels, tuple("abcdefghij"))
    batches = cifar_batches.train_batches(split, batch_size=batch, mode="cifar10", seed=0)

    networks = {
        "ResNet-14": keras_encnet.ResNet14(width, classifier_activation=None),
        "SE-ResNet-14": keras_encnet.SEResNet14(width, classifier_activation=None),
        "EncNet-14": keras_encnet.EncNet14(width, classifier_activation=None),
    }
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for network in networks.values():
        network.compile(keras_encnet.optimizers.SGD(0.1), loss)
    x, y = next(iter(batches))
    seconds = {name: [] for name in networks}
    for _ in range(steps):
        for name, network in networks.items():
            start = time.perf_counter()
            network.train_on_batch(x, y)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[2:]) for name, times in seconds.items()}
    base = medians["ResNet-14"]
    rows = [(name, 1000 * t, batch / t, t / base) for name, t in medians.items()]
    header = (f"width {width}, {precision}", "ms per step", "images per second", "ratio")
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=(None, ".0f", ".0f", ".2f")))

    count = 200
    iterator = iter(batches)
    next(iterator)
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    rate = count * batch / (time.perf_counter() - start)
    print(
        f"\ninput pipeline: {rate:.0f} images per second, {rate * base / batch:.0f} times as many "
        "as ResNet-14 trains on"
    )


if __name__ == "__main__":
    tyro.cli(main)
