"""Callbacks of the segmentation task."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import SegmentationMetrics, SegmentationModel
from keras_encnet.optimizers import SGD
from training.tasks.segmentation_callbacks import CheckPixels, FreezeBackbone


def test_validation_that_misses_or_repeats_an_image_raises(rng):
    masks = rng.integers(0, 3, (4, 5, 5))
    metric = SegmentationMetrics(3)
    check = CheckPixels(metric, np.bincount(masks.ravel(), minlength=3))
    metric.update_state(masks, rng.integers(0, 3, masks.shape))
    check.on_test_end()
    metric.update_state(masks[:1], masks[:1])
    with pytest.raises(RuntimeError, match="it must see each image exactly once"):
        check.on_test_end()


def small_model(scaled=False, **compile_options):
    """A network whose backbone has a normalization that is trained, and one that never is."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(images)
    x = keras.layers.BatchNormalization(momentum=0.5, name="bn")(x)
    x = keras.layers.BatchNormalization(name="frozen_bn", trainable=False)(x)
    logits = keras.layers.Conv2D(2, 1, name="classifier")(x)
    model = SegmentationModel(
        images, {"segmentation": logits}, backbone_layers=("conv", "bn", "frozen_bn")
    )
    optimizer = SGD(0.1, l2=0.01, multipliers={"classifier": 2.0}, use_ema=True)
    model.compile(
        keras.mixed_precision.LossScaleOptimizer(optimizer) if scaled else optimizer,
        {"segmentation": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
        **compile_options,
    )
    return model


class Record(keras.callbacks.Callback):
    """Records weights after each epoch, and the layers that are not trained then."""

    def __init__(self):
        super().__init__()
        self.weights, self.frozen = [], []

    def on_test_begin(self, logs=None):
        self.on_epoch_end(0)

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append({weight.path: weight.numpy() for weight in self.model.weights})
        self.frozen.append([layer.name for layer in self.model.layers if not layer.trainable])


def fit(model, rng, epochs, *callbacks, **options):
    images = rng.normal(size=(4, 8, 8, 3)).astype("float32")
    batches = tf.data.Dataset.from_tensors((images, (images[..., 0] > 0).astype("int32")))
    record = Record()
    options |= {"shuffle": False, "verbose": 0}
    model.fit(batches, epochs=epochs, callbacks=[*callbacks, record], **options)
    return record


def changed(before, after):
    return {path for path in before if (before[path] != after[path]).any()}


HEAD = {"classifier/kernel", "classifier/bias"}
BACKBONE = {"conv/kernel", "conv/bias", "bn/gamma", "bn/beta"}
BACKBONE |= {"bn/moving_mean", "bn/moving_variance"}


@pytest.mark.parametrize(
    ("eagerly", "scaled"),
    [
        (True, False),
        pytest.param(False, False, marks=pytest.mark.slow),
        pytest.param(False, True, marks=pytest.mark.slow),
    ],
)
def test_backbone_is_trained_after_the_epochs_in_which_it_is_frozen(eagerly, scaled, rng):
    model = small_model(scaled, run_eagerly=eagerly)
    start = {weight.path: weight.numpy() for weight in model.weights}
    record = fit(model, rng, 4, FreezeBackbone(2))
    first, second, third, _ = record.weights
    assert changed(start, first) == changed(first, second) == HEAD
    assert changed(second, third) == HEAD | BACKBONE
    # Saved models have the layers of a training run that froze nothing.
    assert record.frozen == [["frozen_bn"]] * 4


def test_head_is_trained_as_on_a_backbone_that_is_never_trained():
    model, other = small_model(run_eagerly=True), small_model(run_eagerly=True)
    for name in other.backbone_layers:
        other.get_layer(name).trainable = False
    after = fit(model, np.random.default_rng(0), 2, FreezeBackbone(2)).weights[-1]
    expected = fit(other, np.random.default_rng(0), 2).weights[-1]
    for path, value in expected.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)
    # The optimizer and its averages know all variables, as checkpoints of every epoch do.
    trained = [variable.path for variable in model.trainable_variables]
    assert len(model.optimizer.velocities) == len(model.optimizer.averages) == len(trained) == 6
    for path, velocity in zip(trained, model.optimizer.velocities, strict=True):
        assert (np.abs(velocity).max() > 0) == (path in HEAD), path


def test_validation_and_resumed_epochs_are_frozen_alike(rng):
    model = small_model(run_eagerly=True)
    validation = (np.zeros((1, 8, 8, 3), "float32"), np.zeros((1, 8, 8), "int32"))
    record = fit(model, rng, 3, FreezeBackbone(2), validation_data=validation, initial_epoch=1)
    assert record.frozen == [["frozen_bn"]] * 4
    assert changed(record.weights[1], record.weights[3]) == HEAD | BACKBONE
    frozen = small_model(run_eagerly=True)
    before = {weight.path: weight.numpy() for weight in frozen.weights}
    assert changed(before, record.weights[1]) == HEAD
