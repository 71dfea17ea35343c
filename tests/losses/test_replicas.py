"""Two replicas compute the losses of one device, whatever their share of ignored pixels.

A process can create logical devices only before its first operation, so another one runs.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PIXEL_LOSSES = ("dice", "focal", "lovasz_softmax", "ohem", "cross_entropy+dice")
REPLICAS = 2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Logs and final weights by the strategy and the name of the loss."""
    path = tmp_path_factory.mktemp("replicas") / "runs.npz"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, __file__, str(path)]
    subprocess.run(command, check=True, env=environment, timeout=600)
    return dict(np.load(path))


@pytest.mark.parametrize("pixel_loss", PIXEL_LOSSES)
def test_replicas_match_one_device(runs, pixel_loss):
    keys = [key for key in runs if key.startswith(f"one_device/{pixel_loss}/")]
    assert len(keys) > 5
    for key in keys:
        mirrored = runs[key.replace("one_device", "mirrored")]
        np.testing.assert_allclose(mirrored, runs[key], rtol=1e-9, atol=1e-12, err_msg=key)
    losses = runs[f"one_device/{pixel_loss}/loss"]
    assert losses[-1] < losses[0]  # otherwise equal runs would prove nothing


# From here on: what the process runs.


def batches():
    """Two batches of four images. In the first, the second replica has no labeled pixel; in the
    second, replicas have images with different numbers of labeled pixels and of classes.
    """
    import tensorflow as tf

    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (8, 16, 16))
    masks[2:4] = 255
    masks[4, 3:] = 255
    masks[5] = np.minimum(masks[5], 1)
    masks[6, :, :9] = 255
    images = (80 * masks[..., None] % 256 + rng.integers(0, 60, (8, 16, 16, 3))).clip(0, 255)
    return tf.data.Dataset.from_tensor_slices(
        (images.astype("float64"), masks.astype("uint8"))
    ).batch(4)


def train(strategy, pixel_loss):
    """Returns logs and final weights."""
    import keras

    import keras_encnet

    keras.utils.set_random_seed(0)
    with strategy.scope():
        images = keras.Input((None, None, 3))
        x = keras.layers.Rescaling(1 / 255)(images)
        x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        logits = keras.layers.Conv2D(3, 1)(x)
        model = keras_encnet.SegmentationModel(images, {"segmentation": logits})
        model.compile("sgd", **keras_encnet.objectives(model, pixel_loss=pixel_loss))
        model.optimizer.learning_rate = 0.5
    data = batches()
    logs = model.fit(data, validation_data=data, epochs=3, shuffle=False, verbose=0).history
    weights = {str(i): weight.numpy() for i, weight in enumerate(model.weights)}
    return {**logs, **weights}


def main(path):
    import keras
    import tensorflow as tf

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * REPLICAS
    tf.config.set_logical_device_configuration(cpu, logical)
    strategies = {
        "one_device": tf.distribute.get_strategy(),
        "mirrored": tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)]),
    }
    np.savez(
        path,
        **{
            f"{name}/{pixel_loss}/{key}": value
            for name, strategy in strategies.items()
            for pixel_loss in PIXEL_LOSSES
            for key, value in train(strategy, pixel_loss).items()
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
