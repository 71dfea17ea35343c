"""The processes of `test_scalable_model.py`, as a script: `python replicas.py PART FOLDER`.

A process can use only one distribution strategy, so each runs in a separate process. All are
compared with one device on the same global batches, with unequal numbers of ignored pixels, batch
normalization, both losses, L2 decay and clipped gradients.
"""

import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_encnet
from keras_encnet.models.scalable_model import ScalableModel

REPLICAS, BATCH = 3, 6


def build(**compile_options):
    """A tiny EncNet, compiled."""
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
    with strategy.scope():
        inputs = keras.Input((4,))
        outputs = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs)
        model = model_class(inputs, outputs)
        model.compile(optimizer(), "mse")
    return model


def step_lengths(one_device, mirrored):
    """How far one clipped step moves the weights of a linear model."""

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
