"""N replicas compute what one device computes, on one machine and on several.

A process can use only one distribution strategy, so each runs in a separate process: this file,
as a script. All are compared with one device on the same 16 global batches, with unequal numbers
of ignored pixels, batch normalization, both losses, L2 decay and clipped gradients.
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
REPLICAS, BATCH = 3, 6

pytestmark = pytest.mark.slow


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
    """Logs, final weights and further findings of all runs, by the name of the run."""
    folder = tmp_path_factory.mktemp("runs")
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    processes = [start("devices", folder)]
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
def test_replicas_match_one_device(runs, name):
    for prefix in ("fit/", "evaluate/", "weight/"):
        compare(runs["one_device_float64"], runs[f"{name}_float64"], prefix, 1e-9)


def test_replicas_match_the_logs_of_one_device_in_float32(runs):
    # Not the weights, see docs/reports/reproducibility.md: where a codeword is dead, batch
    # normalization divides by almost 0, and another order of summation changes the result.
    for prefix in ("fit/", "evaluate/"):
        compare(runs["one_device_float32"], runs["mirrored_float32"], prefix, 1e-5)


def compare(expected, actual, prefix, tolerance):
    assert set(actual) >= set(expected)
    keys = [key for key in expected if key.startswith(prefix)]
    assert len(keys) > 3
    for key in keys:
        np.testing.assert_allclose(
            actual[key], expected[key], rtol=tolerance, atol=tolerance, err_msg=key
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compared_runs_lower_the_loss(runs, dtype):
    # Otherwise equal results would prove nothing.
    run = runs[f"one_device_{dtype}"]
    assert np.isfinite(run["fit/loss"]).all()
    assert run["fit/loss"][-1] < run["fit/loss"][0]
    assert {"fit/presence_loss", "fit/mean_iou", "evaluate/loss"} <= set(run)


def test_keras_model_still_fails_on_two_workers(runs):
    # Once it fits, `utils.compat.Model` and the reshaped logs can go.
    assert bool(runs["worker_0_float64"]["plain_keras_fails"])


def test_keras_clips_before_it_sums(runs):
    # Once a plain model moves by the clip norm, too, `utils.compat.sum_gradients_first` can go.
    assert runs["findings"]["plain_step"] == pytest.approx(0.1 * REPLICAS, rel=1e-4)
    assert runs["findings"]["scalable_step"] == pytest.approx(0.1, rel=1e-4)
    assert runs["findings"]["adam_scalable_step"] == pytest.approx(
        runs["findings"]["adam_one_device_step"], rel=1e-4
    )


def test_overflow_on_one_replica_skips_the_step_on_all(runs):
    assert bool(runs["findings"]["overflow_is_skipped"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("steps_per_execution", "steps_per_execution=2"),
        ("gradient_accumulation", "gradient_accumulation_steps=2"),
        ("batch", "a batch of 4"),
        ("last_batch", "a batch of 1"),
        ("wrong_id", "Received: ids=[7]"),
        ("wrong_size", "height and width of the images"),
        ("unknown_rank", "tf.ensure_shape"),
        ("empty_replica", "too few samples for all replicas"),
        ("normalization", "separate_norm"),
    ],
)
def test_unsupported_settings_and_masks_raise_an_error(runs, option, message):
    assert message in str(runs["findings"][option])


@pytest.mark.parametrize("images", [1, 4, 7, 8])
def test_predict_accepts_a_last_batch_of_any_size(runs, images):
    # Of batches of 6 on 3 replicas; with 1 and 7 images, two replicas get none.
    findings = runs["findings"]
    np.testing.assert_allclose(
        findings[f"predicted_{images}"], findings["called"][:images], rtol=1e-5, atol=1e-6
    )


# From here on: what the processes run.


def build(**compile_options):
    """A tiny EncNet, compiled."""
    import keras

    import keras_encnet

    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 3), name="images")
    x = keras.layers.Conv2D(6, 3, strides=8, padding="same", name="stage3_conv")(images)
    stage3 = keras_encnet.layers.BatchNormalization(name="stage3_bn")(x)
    stage4 = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="stage4")(stage3)
    backbone = keras.Model(images, {"stage3": stage3, "stage4": stage4})
    # Without dropout, whose random numbers differ between replicas.
    model = keras_encnet.EncNet(
        backbone,
        classes=3,
        num_codewords=4,
        channels=8,
        auxiliary="none",
        dropout=0,
        working_size=40,
    )
    optimizer = keras_encnet.optimizers.SGD(
        keras_encnet.optimizers.PolySchedule(0.05, steps=16),
        l2=1e-3,
        multipliers=dict.fromkeys(model.head_layers, 10),
        global_clipnorm=1.0,
    )
    model.compile(**{"optimizer": optimizer, **keras_encnet.objectives(model), **compile_options})
    return model


def data(batch=BATCH):
    """Four global batches of six images with unequal numbers of ignored pixels."""
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (24, 32, 32))
    masks[0, 1:] = 255
    masks[1:4, 2:] = 255
    masks[9:12] = 255  # neither the last of two nor the last of three replicas has any label
    images = rng.normal(size=(24, 32, 32, 3)) + 0.3 * masks[..., None] % 3
    images = (120 + 40 * images).clip(0, 255).astype(keras.config.floatx())
    return tf.data.Dataset.from_tensor_slices((images, masks.astype("uint8"))).batch(batch)


def train(strategy, path, dtype):
    """Fits, evaluates and saves all that is compared."""
    import keras

    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    with strategy.scope():
        model = build()
    history = model.fit(data(), epochs=4, shuffle=False, verbose=0).history
    scores = model.evaluate(data(), verbose=0, return_dict=True)
    np.savez(
        path,
        **{f"fit/{key}": values for key, values in history.items()},
        **{f"evaluate/{key}": value for key, value in scores.items()},
        **{f"weight/{weight.path}": weight.numpy() for weight in model.weights},
    )


def devices(folder):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * REPLICAS
    tf.config.set_logical_device_configuration(cpu, logical)
    mirrored = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)])
    one_device = tf.distribute.get_strategy()
    for dtype in ("float64", "float32"):
        train(one_device, folder / f"one_device_{dtype}.npz", dtype)
        train(mirrored, folder / f"mirrored_{dtype}.npz", dtype)
    np.savez(
        folder / "findings.npz",
        overflow_is_skipped=overflow_is_skipped(mirrored),
        **step_lengths(one_device, mirrored),
        **predictions(mirrored),
        **refusals(mirrored),
    )


def worker(folder):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    path = folder / f"worker_{strategy.cluster_resolver.task_id}_float64.npz"
    train(strategy, path, "float64")
    # Last, since a collective operation that fails takes all later ones down.
    fails = plain_keras_fails(strategy)
    np.savez(path, **dict(np.load(path)), plain_keras_fails=fails)
    sys.stdout.flush()
    # Without shutting down the cluster, which would wait for a failed worker.
    os._exit(0)


def linear(strategy, model_class, optimizer):
    """A compiled model of one matrix."""
    import keras

    with strategy.scope():
        inputs = keras.Input((4,))
        outputs = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs)
        model = model_class(inputs, outputs)
        model.compile(optimizer(), "mse")
    return model


def step_lengths(one_device, mirrored):
    """How far one clipped step moves the weights of a linear model."""
    import keras

    from keras_encnet.models.scalable_model import ScalableModel

    def step(strategy, model_class, optimizer):
        model = linear(strategy, model_class, optimizer)
        x, y = np.ones((REPLICAS, 4), "float32"), np.full((REPLICAS, 1), 100, "float32")
        model.fit(x, y, batch_size=REPLICAS, verbose=0)
        return np.linalg.norm(model.get_weights()[0])

    def sgd():
        return keras.optimizers.SGD(1.0, global_clipnorm=0.1)

    def adam():  # an epsilon that makes its step depend on the length of the gradient
        return keras.optimizers.Adam(1.0, epsilon=1.0, global_clipnorm=0.1)

    return {
        "plain_step": step(mirrored, keras.Model, sgd),
        "scalable_step": step(mirrored, ScalableModel, sgd),
        "adam_scalable_step": step(mirrored, ScalableModel, adam),
        "adam_one_device_step": step(one_device, ScalableModel, adam),
    }


def overflow_is_skipped(strategy):
    """Whether float16 gradients that overflow on the last replica only change no weight."""
    import keras

    import keras_encnet
    from keras_encnet.models.scalable_model import ScalableModel

    def optimizer():
        inner = keras_encnet.optimizers.SGD(0.1)
        return keras.mixed_precision.LossScaleOptimizer(inner, initial_scale=2.0)

    model = linear(strategy, ScalableModel, optimizer)
    x, y = np.ones((REPLICAS, 4), "float32"), np.ones((REPLICAS, 1), "float32")
    x[-1] = np.inf
    model.fit(x, y, batch_size=REPLICAS, verbose=0)
    skipped = not np.any(model.get_weights())
    scale = float(model.optimizer.dynamic_scale.numpy())
    x[-1] = 1
    model.fit(x, y, batch_size=REPLICAS, verbose=0)
    return skipped and scale == 1.0 and np.all(model.get_weights())


def predictions(strategy):
    """Outputs at the working size for numbers of images that do not divide evenly."""
    with strategy.scope():
        model = build()
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype("uint8")
    found = {
        f"predicted_{count}": model.predict(images[:count], batch_size=6, verbose=0)["segmentation"]
        for count in (1, 4, 7, 8)
    }
    return {**found, "called": model.outputs_for(images)["segmentation"]}


def refusals(strategy):
    """The errors of `fit` for settings that fail, or go wrong silently, on several replicas."""
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
        x = keras.layers.BatchNormalization(name="separate_norm")(images)
        normalizing = ScalableModel(images, keras.layers.Conv2D(3, 1)(x))
        normalizing.compile("sgd", "mse")
    x, y = (np.concatenate(part) for part in zip(*data().as_numpy_iterator(), strict=True))
    wrong = np.where(np.arange(len(y))[:, None, None] % BATCH == BATCH - 1, 7, y)
    swapped = tf.data.Dataset.from_tensor_slices((x[:, :16], y[:, :, :16])).batch(BATCH)
    without_rank = data().map(lambda x, y: (x, tf.numpy_function(lambda y: y, [y], tf.uint8)))
    without_size = swapped.map(
        lambda x, y: (
            x,
            tf.ensure_shape(tf.numpy_function(lambda y: y, [y], tf.uint8), (None, None, None)),
        )
    )
    return {
        "steps_per_execution": refusal(steps, data()),
        "gradient_accumulation": refusal(accumulating, data()),
        "batch": refusal(usual, x, y, batch_size=4),
        "last_batch": refusal(usual, x[:7], y[:7], batch_size=6),
        "normalization": refusal(normalizing, *[np.ones((REPLICAS, 8, 8, 3), "float32")] * 2),
        "wrong_id": refusal(usual, tf.data.Dataset.from_tensor_slices((x, wrong)).batch(BATCH)),
        "wrong_size": refusal(usual, without_size),
        "unknown_rank": refusal(usual, without_rank),
        # Last, since it fails while the replicas run.
        "empty_replica": refusal(usual, data(batch=22)),
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


if __name__ == "__main__":
    {"devices": devices, "worker": worker}[sys.argv[1]](Path(sys.argv[2]))
