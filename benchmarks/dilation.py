"""Time of the dilated convolutions of DeepLabv3 compared with Keras's Conv2D, forward and backward.

    python -m benchmarks.dilation [--rounds 3]

The features are those of a batch of the recipes for folders: 8 crops of 216x288 pixels at output
stride 8. Dilations of 2 and 4 occur in a dilated ResNet, the larger ones in DeepLabv3. Both layers
take turns.
"""

import functools
import statistics
from typing import Literal

import keras
import tabulate
import tensorflow as tf
import tyro

from benchmarks.measuring import median_seconds
from keras_encnet.layers import DilatedConv2D

SHAPE = (8, 27, 36, 2048)
LAYERS = {"DilatedConv2D": DilatedConv2D, "Keras's Conv2D": keras.layers.Conv2D}


def main(
    rounds: int = 3,
    channels: int = 512,
    dilations: tuple[int, ...] = (2, 4, 12, 24, 36),
    precision: Literal["float32", "bfloat16"] = "bfloat16",
):
    """Compares the layers.

    Args:
        rounds: Turns of each layer, of three calls; the first call is not counted.
        channels: Number of output channels.
        dilations: The dilations.
        precision: Precision of the features and kernels.
    """
    if min(dilations, default=1) < 1:
        raise SystemExit(f"`--dilations` must be at least 1. Received: {dilations}")
    x = tf.cast(tf.random.normal(SHAPE), precision)
    rows = []
    for dilation in dilations:
        steps = {
            name: step_of(
                layer(channels, 3, dilation_rate=dilation, padding="same", dtype=precision), x
            )
            for name, layer in LAYERS.items()
        }
        turns = {name: [] for name in LAYERS}
        for _ in range(rounds):
            for name, step in steps.items():
                turns[name].append(median_seconds(step, 3))
        medians = [statistics.median(seconds) for seconds in turns.values()]
        spread = [f"{min(seconds):.3f} to {max(seconds):.3f}" for seconds in turns.values()]
        rows.append([dilation, *medians, medians[0] / medians[1], *spread])
        print(rows[-1], flush=True)
    header = ["dilation", *(f"{name}, s" for name in LAYERS), "ratio", *(f"{n}, s" for n in LAYERS)]
    print(tabulate.tabulate(rows, header, tablefmt="github", floatfmt=".3f"))


def step_of(layer, x):
    """Returns a function of no arguments that computes outputs and all gradients."""
    spec = tf.TensorSpec((None, None, None, x.shape[-1]), x.dtype)
    layer.build(spec.shape)

    @tf.function(input_signature=[spec])
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        gradients = tape.gradient(y, [x, *layer.trainable_variables], output_gradients=y)
        return tf.add_n([tf.reduce_sum(tf.cast(each, tf.float32)) for each in gradients])

    return functools.partial(step, x)


if __name__ == "__main__":
    tyro.cli(main)
