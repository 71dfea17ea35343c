"""N replicas compute what one device would, on one machine and on several.

Distribution strategies configure a process for good, so each runs in its own: this file, as a
script. What they must agree on is one device's run over the same global batches.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT = 180


def start(part, out, **environment):
    return subprocess.Popen(
        [sys.executable, __file__, part, str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What every run logged, the weights it ended with, and what it else reported."""
    folder = tmp_path_factory.mktemp("runs")
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = [start("one_machine", folder)]
    for index in range(2):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        processes.append(start("worker", folder, TF_CONFIG=json.dumps(task)))
    try:
        logs = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, log in zip(processes, logs, strict=True):
        assert process.returncode == 0, log[-4000:]
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.mark.parametrize("name", ["mirrored", "worker_0", "worker_1"])
def test_replicas_log_and_learn_what_one_device_does(runs, name):
    expected, actual = runs["one_device"], runs[name]
    assert set(actual) >= set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=1e-5, atol=1e-5, err_msg=key)


def test_the_runs_trained(runs):
    # Equal results of runs that did nothing would prove nothing.
    loss = runs["one_device"]["fit/loss"]
    assert np.isfinite(loss).all()
    assert loss[-1] < loss[0]
    assert {"fit/presence_loss", "fit/mean_iou", "evaluate/loss"} <= set(runs["one_device"])


def test_keras_still_needs_the_mend(runs):
    # Once a plain `keras.Model` fits on two workers, `ScalableModel` can go.
    assert bool(runs["worker_0"]["plain_keras_fails"])


def build():
    """A tiny EncNet. Its batch normalisation is frozen: replicas don't share their statistics."""
    import keras

    import keras_encnet

    keras.utils.set_random_seed(0)
    x = images = keras.Input((None, None, 3), name="images")
    stages = {}
    for i, (width, stride) in enumerate(((4, 4), (6, 2), (8, 1), (10, 1)), start=1):
        x = keras.layers.Conv2D(width, 3, stride, padding="same", name=f"stage{i}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"stage{i}_bn")(x)
        stages[f"stage{i}"] = keras.layers.ReLU(name=f"stage{i}_relu")(x)
    backbone = keras.Model(images, stages)
    # Replicas draw dropout of their own.
    model = keras_encnet.EncNet(
        backbone, classes=3, num_codewords=4, channels=8, auxiliary=None, dropout=0
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    optimizer = keras_encnet.optimizers.SGD(
        keras_encnet.optimizers.PolySchedule(0.05, steps=6), l2=1e-3, multipliers={"head_conv": 10}
    )
    model.compile(optimizer, **keras_encnet.objectives(model))
    return model


def data():
    """Three global batches of four, with void in unequal shares on every two images."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (12, 8, 8))
    masks[0, 1:] = 255
    masks[1:4, 2:] = 255
    masks[6:8] = 255  # one replica without any labelled pixel
    images = rng.normal(size=(12, 8, 8, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((images, masks.astype("uint8"))).batch(4)


def train(model, path, **report):
    """Fits, evaluates and saves everything there is to compare."""
    history = model.fit(data(), epochs=2, shuffle=False, verbose=0).history
    scores = model.evaluate(data(), verbose=0, return_dict=True)
    np.savez(
        path,
        **{f"fit/{key}": values for key, values in history.items()},
        **{f"evaluate/{key}": value for key, value in scores.items()},
        **{f"weight/{weight.path}": weight.numpy() for weight in model.weights},
        **report,
    )


def plain_keras_fails(strategy):
    import keras

    with strategy.scope():
        images = keras.Input((8, 8, 3))
        model = keras.Model(images, keras.layers.Conv2D(3, 1)(images))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        model.compile("sgd", loss)
    try:
        model.fit(data(), verbose=0)
    except Exception:
        return True
    return False


def one_machine(folder):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    train(build(), folder / "one_device.npz")
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = build()
    train(model, folder / "mirrored.npz")


def worker(folder):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = build()
    index = strategy.cluster_resolver.task_id
    path = folder / f"worker_{index}.npz"
    train(model, path)
    # Last, since a collective that fails takes the following ones down.
    fails = plain_keras_fails(strategy)
    np.savez(path, **dict(np.load(path)), plain_keras_fails=fails)
    sys.stdout.flush()
    # Without the shutdown of the cluster, which would wait for a worker that has failed.
    os._exit(0)


if __name__ == "__main__":
    {"one_machine": one_machine, "worker": worker}[sys.argv[1]](Path(sys.argv[2]))
