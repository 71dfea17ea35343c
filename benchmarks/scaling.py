"""What N replicas send each other at every step, and how much of their time that takes.

    python benchmarks/scaling.py [--measure 3 | --step-seconds S S] [--batch B] [--crop-size C]

Bytes and operations are counted from the networks. The time of a step of one replica is measured
here, given, or reckoned from `--teraflops`, what the device does of them in practice. An all-reduce
of b bytes over N replicas takes 2 (N - 1) / N b / bandwidth, and a latency for each doubling of N.
Nothing is taken to overlap.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math
import statistics
import time

import numpy as np
import tabulate
import tyro

REPLICAS = (1, 2, 4, 8, 16, 32, 64)
# A replica's bandwidth, bytes per second, and the latency of an all-reduce over two, in seconds.
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
    """Prints what is sent, and expected efficiencies.

    Args:
        step_seconds: a step of one replica, of EncNet50 and of EncNet101.
        measure: steps to measure here, of which the median counts, if no seconds are given.
        teraflops: 10^12 operations a second of one device in practice, to reckon with otherwise.
        batch: images of a replica.
        crop_size: height and width of the crops.
        classes: classes.
    """
    for i, depth in enumerate((50, 101)):
        model = build(depth, crop_size, classes)
        sent = count(model)
        operations = 6 * sent["multiplications"] * batch  # forward once, backward twice
        if step_seconds:
            seconds = step_seconds[i]
        elif measure:
            seconds = time_step(model, crop_size, classes, batch, measure)
        else:
            seconds = operations / (teraflops * 1e12)
        print(
            f"EncNet{depth}: {sent['gradients'] / 1e6:.1f} MB of gradients; "
            f"{sent['norms']} normalizations send {sent['statistics'] / 1e3:.0f} kB; "
            f"{operations / 1e12:.2f} TFLOP a step of {batch}, {seconds:.3f} s"
        )
        rows = []
        for link, (bandwidth, latency) in LINKS.items():
            for name, reductions in (("1", 2), ("3 (Keras)", 6)):
                rows.append([link, name])
                for replicas in REPLICAS:
                    share = 2 * (replicas - 1) / replicas / bandwidth
                    bytes_sent = sent["gradients"] + sent["statistics"]
                    calls = reductions * sent["norms"] + 1
                    reducing = share * bytes_sent + latency * calls * math.log2(replicas)
                    rows[-1].append(f"{100 * seconds / (seconds + reducing):.0f} %")
        print(tabulate.tabulate(rows, ["link", "all-reduces a norm", *REPLICAS], "github"))


def build(depth, crop_size, classes):
    """Builds and compiles the paper's network."""
    import keras_encnet

    builder = {50: keras_encnet.EncNet50, 101: keras_encnet.EncNet101}[depth]
    model = builder(classes=classes, backbone_weights=None, input_shape=(crop_size, crop_size, 3))
    model.compile(keras_encnet.optimizers.SGD(0.01), **keras_encnet.objectives(model))
    return model


def time_step(model, crop_size, classes, batch, steps):
    """Returns the median seconds of some steps, after one that doesn't count."""
    draw = np.random.default_rng(0)
    images = draw.normal(size=(batch, crop_size, crop_size, 3)).astype("float32")
    masks = draw.integers(0, classes, (batch, crop_size, crop_size)).astype("int32")
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        model.train_on_batch(images, masks)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def count(model):
    """Counts multiplications of the convolutions, and the bytes that are all-reduced."""
    import keras

    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    return {
        "multiplications": sum(
            np.prod(x.kernel.shape) * np.prod(x.output.shape[1:3]) for x in convolutions
        ),
        "gradients": 4 * sum(np.prod(weight.shape) for weight in model.trainable_weights),
        "norms": len(norms),
        # Two moments a channel and a count, forward, and their gradients, backward.
        "statistics": 2 * 4 * sum(2 * x.gamma.shape[0] + 1 for x in norms),
    }


if __name__ == "__main__":
    tyro.cli(main)
