"""Time of a training step of the CIFAR networks, compared with their input pipeline.

    python -m benchmarks.cifar [--width 64] [--precision bfloat16]

The networks take turns on one batch. SE-ResNet-14 has the blocks of EncNet-14 with another gate, so
the first difference between rows is the cost of the blocks, the second that of the encoding. The
input pipeline reads random images, as many as CIFAR-10 has.
"""

import statistics
from typing import Literal

import keras
import numpy as np
import tabulate
import tyro

import keras_encnet
from benchmarks.measuring import seconds_of
from training.input import cifar_batches

IMAGES = 50_000


def main(
    width: int = 64,
    batch: int = 128,
    steps: int = 9,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
):
    """Compares the networks, and the input pipeline with the fastest of them.

    Args:
        width: Channels of the first stage.
        batch: Images per batch.
        steps: Steps per network; the first two are not counted.
        precision: Precision of the computation.
    """
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    batches = cifar_batches.train_batches(random_split(), batch_size=batch, seed=0)
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
            seconds[name].append(seconds_of(lambda: network.train_on_batch(x, y)))  # noqa: B023
    medians = {name: statistics.median(times[2:]) for name, times in seconds.items()}
    base = medians["ResNet-14"]
    rows = [(name, 1000 * t, batch / t, t / base) for name, t in medians.items()]
    header = (f"width {width}, {precision}", "ms per step", "images per second", "ratio")
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=(None, ".0f", ".0f", ".2f")))

    rate = batch / seconds_per_batch(batches)
    print(
        f"\ninput pipeline: {rate:.0f} images per second, {rate * base / batch:.0f} times the rate "
        "of training ResNet-14"
    )


def random_split():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3)).astype("uint8")
    labels = rng.integers(0, 10, IMAGES).astype("int32")
    return cifar_batches.Split("train", images, labels, tuple("abcdefghij"))


def seconds_per_batch(batches, count=200):
    iterator = iter(batches)
    next(iterator)
    return seconds_of(lambda: [next(iterator) for _ in range(count)]) / count


if __name__ == "__main__":
    tyro.cli(main)
