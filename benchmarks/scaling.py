"""Data that N replicas exchange per training step, and the share of the time that it takes.

    python -m benchmarks.scaling [--measure 3 | --step-seconds S S] [--batch B] [--crop-size C]

Bytes and operations are counted from the networks. The time of a step on one replica is measured,
given, or estimated from `--teraflops`, the sustained performance of the device. An all-reduce of b
bytes over N replicas takes 2 (N - 1) / N b / bandwidth, plus a latency for each doubling of N.
Communication is assumed not to overlap with computation.
"""

import math

import keras
import numpy as np
import tabulate
import tyro

import keras_encnet
from benchmarks.measuring import median_seconds

REPLICAS = (1, 2, 4, 8, 16, 32, 64)
# Bandwidth per replica in bytes per second, and latency of an all-reduce over two in seconds.
LINKS = {
    "NVLink, 300 GB/s, 10 us": (300e9, 10e-6),
    "InfiniBand, 25 GB/s, 20 us": (25e9, 20e-6),
    "Ethernet, 3 GB/s, 60 us": (3e9, 60e-6),
}


def main(
    step_seconds: tuple[float, float] | None = None,
    measure: int = 0,
    teraflops: float = 20.0,
    batch: int = 4,
    crop_size: int = 480,
    classes: int = 150,
):
    """Prints the data per step and the expected efficiency.

    Args:
        step_seconds: Time of a step on one replica, of EncNet50 and of EncNet101.
        measure: Number of steps to measure if `step_seconds` is not given; the median counts.
        teraflops: 10^12 operations per second of one device, to estimate the time otherwise.
        batch: Images per replica.
        crop_size: Height and width of the crops.
        classes: Number of classes.
    """
    for i, depth in enumerate((50, 101)):
        model = build(depth, crop_size, classes)
        counts = count(model)
        operations = 6 * counts["multiplications"] * batch  # forward once, backward twice
        if step_seconds:
            seconds = step_seconds[i]
        elif measure:
            seconds = time_step(model, crop_size, classes, batch, measure)
        else:
            seconds = operations / (teraflops * 1e12)
        print(
            f"EncNet{depth}: {counts['gradients'] / 1e6:.1f} MB of gradients, "
            f"{counts['statistics'] / 1e3:.0f} kB for {counts['norms']} batch normalizations, "
            f"{operations / 1e12:.2f} TFLOP and {seconds:.3f} s per step of {batch} images"
        )
        rows = [
            [link, name, *efficiencies(counts, seconds, reductions, *LINKS[link])]
            for link in LINKS
            for name, reductions in (("1", 2), ("3 (Keras)", 6))
        ]
        header = ["link", "all-reduces per normalization", *REPLICAS]
        print(tabulate.tabulate(rows, header, "github"))


def efficiencies(counts, seconds, reductions, bandwidth, latency):
    """Yields the efficiency for each number of replicas, as text."""
    bytes_sent = counts["gradients"] + counts["statistics"]
    calls = reductions * counts["norms"] + 1
    for replicas in REPLICAS:
        transfer = 2 * (replicas - 1) / replicas * bytes_sent / bandwidth
        reducing = transfer + latency * calls * math.log2(replicas)
        yield f"{100 * seconds / (seconds + reducing):.0f} %"


def build(depth, crop_size, classes):
    """Builds and compiles the paper's network."""
    builder = {50: keras_encnet.EncNet50, 101: keras_encnet.EncNet101}[depth]
    model = builder(classes=classes, backbone_weights=None, input_shape=(crop_size, crop_size, 3))
    model.compile(keras_encnet.optimizers.SGD(0.01), **keras_encnet.objectives(model))
    return model


def time_step(model, crop_size, classes, batch, steps):
    """Returns the median time of some steps, after one that is not counted."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, crop_size, crop_size, 3)).astype("uint8")
    masks = rng.integers(0, classes, (batch, crop_size, crop_size)).astype("int32")
    return median_seconds(lambda: model.train_on_batch(images, masks), steps + 1)


def count(model):
    """Counts multiplications of the convolutions, and the bytes that are all-reduced."""
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    return {
        "multiplications": sum(
            np.prod(x.kernel.shape) * np.prod(x.output.shape[1:3]) for x in convolutions
        ),
        "gradients": 4 * sum(np.prod(weight.shape) for weight in model.trainable_weights),
        "norms": len(norms),
        # Two moments per channel and a count, forward, and their gradients, backward.
        "statistics": 2 * 4 * sum(2 * x.gamma.shape[0] + 1 for x in norms),
    }


if __name__ == "__main__":
    tyro.cli(main)
