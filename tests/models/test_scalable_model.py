"""N replicas compute what one device would, on one machine and on several.

Distribution strategies configure a process for good, so each runs in its own: this file, as a
script. What they must agree on is one device's run over the same global batches, 20 of them, with
void pixels in unequal shares, batch normalization, both losses, decay and clipped gradients.
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
TIMEOUT = 400


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
    processes = [start("two_devices", folder), start("four_devices", folder)]
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


REPLICATED = ["mirrored_2", "mirrored_4", "worker_0", "worker_1"]


@pytest.mark.parametrize("name", REPLICATED)
def test_replicas_learn_the_weights_of_one_device(runs, name):
    compare(runs["one_device_float64"], runs[f"{name}_float64"], "weight/", 1e-9)


@pytest.mark.parametrize("name", REPLICATED)
def test_replicas_log_what_one_device_does(runs, name):
    # Rounding in another order moves float32 weights farther, see docs/reports/reproducibility.md:
    # where a codeword is dead, batch normalization divides by nearly nothing.
    for log in ("fit/", "evaluate/"):
        compare(runs["one_device_float32"], runs[f"{name}_float32"], log, 1e-5)


def compare(expected, actual, prefix, tolerance):
    assert set(actual) >= set(expected)
    keys = [key for key in expected if key.startswith(prefix)]
    assert len(keys) > 3
    for key in keys:
        np.testing.assert_allclose(
            actual[key], expected[key], rtol=tolerance, atol=tolerance, err_msg=key
        )


def test_the_runs_trained(runs):
    # Equal results of runs that did nothing would prove nothing.
    run = runs["one_device_float32"]
    assert np.isfinite(run["fit/loss"]).all()
    assert run["fit/loss"][-1] < run["fit/loss"][0]
    assert {"fit/presence_loss", "fit/mean_iou", "evaluate/loss"} <= set(run)


def test_keras_still_needs_the_mend(runs):
    # Once a plain `keras.Model` fits on two workers, `ScalableModel` can go.
    assert bool(runs["worker_0_float32"]["plain_keras_fails"])


def test_an_overflow_on_one_replica_keeps_all_from_stepping(runs):
    assert bool(runs["mirrored_2_float32"]["overflow_is_skipped"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("steps_per_execution", "steps_per_execution=2"),
        ("gradient_accumulation", "gradient_accumulation_steps=2"),
        ("batch", "a batch of 3"),
        ("last_batch", "a batch of 1"),
        ("empty_replica", "too few samples for all replicas"),
        ("normalization", "norm_of_a_replica"),
    ],
)
def test_what_goes_wrong_on_several_replicas_is_refused(runs, option, message):
    assert message in str(runs["refusals"][option])


def build(**compile_options):
    """A tiny EncNet."""
    import keras

    import keras_encnet

    keras.utils.set_random_seed(0)
    x = images = keras.Input((None, None, 3), name="images")
    stages = {}
    for i, (width, stride) in enumerate(((4, 4), (6, 2), (8, 1), (10, 1)), start=1):
        x = keras.layers.Conv2D(width, 3, stride, padding="same", name=f"stage{i}_conv")(x)
        x = keras_encnet.layers.BatchNormalization(name=f"stage{i}_bn")(x)
        stages[f"stage{i}"] = x = keras.layers.ReLU(name=f"stage{i}_relu")(x)
    # Replicas draw dropout of their own.
    model = keras_encnet.EncNet(
        keras.Model(images, stages), classes=3, num_codewords=4, channels=8, dropout=0
    )
    optimizer = keras_encnet.optimizers.SGD(
        keras_encnet.optimizers.PolySchedule(0.05, steps=20),
        l2=1e-3,
        multipliers=dict.fromkeys(model.head_layers, 10),
        global_clipnorm=1.0,
    )
    model.compile(**{"optimizer": optimizer, **keras_encnet.objectives(model), **compile_options})
    return model


def data(batch=4):
    """Five global batches of four, with void in unequal shares on every two images."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (20, 32, 32))
    masks[0, 1:] = 255
    masks[1:4, 2:] = 255
    masks[6:8] = 255  # one replica without any labeled pixel
    images = rng.normal(size=(20, 32, 32, 3)).astype(keras.config.floatx())
    images += 0.3 * masks[..., None] % 3
    images = images.astype(keras.config.floatx())
    return tf.data.Dataset.from_tensor_slices((images, masks.astype("uint8"))).batch(batch)


def train(model, path, **report):
    """Fits, evaluates and saves everything there is to compare."""
    history = model.fit(data(), epochs=4, shuffle=False, verbose=0).history
    scores = model.evaluate(data(), verbose=0, return_dict=True)
    np.savez(
        path,
        **{f"fit/{key}": values for key, values in history.items()},
        **{f"evaluate/{key}": value for key, value in scores.items()},
        **{f"weight/{weight.path}": weight.numpy() for weight in model.weights},
        **report,
    )


def in_both_precisions(strategy, folder, name, report=dict):
    import keras

    for dtype in ("float64", "float32"):
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        with strategy.scope():
            model = build()
        extra = report() if dtype == "float32" else {}
        train(model, folder / f"{name}_{dtype}.npz", **extra)


def overflow_is_skipped(strategy):
    """Whether float16 gradients that overflow on the second replica alone change no weight."""
    import keras

    import keras_encnet

    with strategy.scope():
        images = keras.Input((4,))
        model = keras_encnet.models.scalable_model.ScalableModel(
            images, keras.layers.Dense(1, use_bias=False)(images)
        )
        inner = keras_encnet.optimizers.SGD(0.1)
        model.compile(keras.mixed_precision.LossScaleOptimizer(inner, initial_scale=2.0), "mse")
    before = model.get_weights()
    x = np.ones((2, 4), "float32")
    x[1] = np.inf
    model.fit(x, np.ones((2, 1), "float32"), batch_size=2, verbose=0)
    skipped = np.array_equal(model.get_weights(), before)
    scale = float(model.optimizer.dynamic_scale.numpy())
    x[1] = 1
    model.fit(x, np.ones((2, 1), "float32"), batch_size=2, verbose=0)
    return skipped and scale == 1.0 and not np.array_equal(model.get_weights(), before)


def refusals(strategy):
    """What `fit` says to options that fail, or go wrong silently, on several replicas."""
    import keras
    import tensorflow as tf

    from keras_encnet.models.scalable_model import ScalableModel

    def refusal(model, x, y=None, **options):
        try:
            model.fit(x, y, verbose=0, **options)
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            return str(error)
        return "none"

    with strategy.scope():
        steps = build(steps_per_execution=2)
        accumulating = build(optimizer=keras.optimizers.SGD(gradient_accumulation_steps=2))
        usual = build()
        images = keras.Input((8, 8, 3))
        x = keras.layers.BatchNormalization(name="norm_of_a_replica")(images)
        normalizing = ScalableModel(images, keras.layers.Conv2D(3, 1)(x))
        normalizing.compile("sgd", "mse")
    x, y = (np.concatenate(part) for part in zip(*data().as_numpy_iterator(), strict=True))
    return {
        "steps_per_execution": refusal(steps, data()),
        "gradient_accumulation": refusal(accumulating, data()),
        "batch": refusal(usual, x, y, batch_size=3),
        "last_batch": refusal(usual, x[:5], y[:5], batch_size=4),
        "normalization": refusal(normalizing, np.ones((2, 8, 8, 3)), np.ones((2, 8, 8, 3))),
        # Last, since it fails while the replicas run.
        "empty_replica": refusal(usual, data(batch=19)),
    }


def plain_keras_fails(strategy):
    import keras

    with strategy.scope():
        images = keras.Input((32, 32, 3))
        model = keras.Model(images, keras.layers.Conv2D(3, 1)(images))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        model.compile("sgd", loss)
    try:
        model.fit(data(), verbose=0)
    except Exception:
        return True
    return False


def mirrored(count):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(cpu, devices)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)])


def two_devices(folder):
    import tensorflow as tf

    two = mirrored(2)
    in_both_precisions(tf.distribute.get_strategy(), folder, "one_device")
    in_both_precisions(
        two, folder, "mirrored_2", lambda: {"overflow_is_skipped": overflow_is_skipped(two)}
    )
    np.savez(folder / "refusals.npz", **refusals(two))


def four_devices(folder):
    in_both_precisions(mirrored(4), folder, "mirrored_4")


def worker(folder):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    index = strategy.cluster_resolver.task_id
    in_both_precisions(strategy, folder, f"worker_{index}")
    # Last, since a collective that fails takes the following ones down.
    fails = plain_keras_fails(strategy)
    path = folder / f"worker_{index}_float32.npz"
    np.savez(path, **dict(np.load(path)), plain_keras_fails=fails)
    sys.stdout.flush()
    # Without the shutdown of the cluster, which would wait for a worker that has failed.
    os._exit(0)


if __name__ == "__main__":
    parts = {"two_devices": two_devices, "four_devices": four_devices, "worker": worker}
    parts[sys.argv[1]](Path(sys.argv[2]))
