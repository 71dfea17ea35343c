"""An interrupted training goes on bit for bit, and no interruption costs an earlier checkpoint."""

import os
import resource

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import Encoding
from keras_encnet.optimizers import SGD, PolySchedule
from training.run import checkpoints

STEPS, EPOCHS = 5, 3

pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")  # of a scale that is drawn


def build(width=6, optimizer=None):
    """A network with every kind of state: moving statistics, dropout, stochastic scale, EMA."""
    images = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(width, 3)(images)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.3)(x)
    x = Encoding(4, stochastic_scale=True)(x)
    x = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    model = keras.Model(images, x)
    model.compile(
        optimizer or SGD(PolySchedule(0.1, STEPS * EPOCHS), l2=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def batches(first_step):
    """Batches that are a function of their number alone."""

    def batch(step):
        seed = tf.stack([step, 7])
        images = tf.random.stateless_normal((4, 4, 4, 3), seed)
        return images, tf.random.stateless_uniform((4,), seed, maxval=3, dtype=tf.int32)

    return tf.data.Dataset.counter(first_step).map(batch)


class Interrupt(keras.callbacks.Callback):
    """Raises before a step, by its number since this process began."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def on_train_batch_begin(self, batch, logs=None):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1


def train(directory, interrupt_at=None, model=None, every_steps=2, epochs=EPOCHS, keep=3):
    """Trains as a fresh process would: with a new model, resumed where there is a checkpoint."""
    model = build() if model is None else model
    state = checkpoints.restore(model, directory)
    checkpointing = checkpoints.Checkpointing(directory, state, every_steps, keep)
    callbacks = [] if interrupt_at is None else [Interrupt(interrupt_at)]
    validation = batches(1000).take(2)
    try:
        history = checkpoints.fit(
            model,
            batches,
            checkpointing,
            steps_per_epoch=STEPS,
            epochs=epochs,
            callbacks=callbacks,
            validation_data=validation,
            shuffle=False,
            verbose=0,
        )
    except KeyboardInterrupt:
        return None
    return model, history


def steps_in(directory):
    return [int(path.stem.split("-")[1]) for path in checkpoints.checkpoints(directory)]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model, history = train(tmp_path_factory.mktemp("uninterrupted"))
    return [variable.numpy() for variable in state_of(model)], history


def state_of(model):
    return [*model.variables, *model.optimizer.variables]


# Before the first checkpoint, before the last step of an epoch, and thrice.
@pytest.mark.parametrize("interruptions", [(1,), (4,), (7, 1, 4)])
def test_an_interrupted_training_ends_bit_for_bit_as_an_uninterrupted_one(
    interruptions, uninterrupted, tmp_path
):
    for step in interruptions:
        keras.utils.set_random_seed(0)
        assert train(tmp_path, interrupt_at=step) is None
    keras.utils.set_random_seed(0 if not checkpoints.checkpoints(tmp_path) else 1)
    model, history = train(tmp_path)
    values, expected_history = uninterrupted
    for variable, value in zip(state_of(model), values, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)
    assert history == expected_history


def test_the_random_states_are_part_of_it(uninterrupted, tmp_path):
    # Else the equality above would be one of networks that draw nothing.
    model = build()
    train(tmp_path, model=model, epochs=1)
    path = checkpoints.checkpoints(tmp_path)[0]
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    assert len(seeds) == 2
    drawn = [seed.numpy() for seed in seeds]
    other = build()
    checkpoints.restore(other, path.parent)
    restored = [v.numpy() for v in other.variables if "seed_generator" in v.path]
    np.testing.assert_array_equal(restored, drawn)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.AdamW(0.01),
        keras.mixed_precision.LossScaleOptimizer(SGD(0.1), dynamic_growth_steps=3),
        SGD(0.1, use_ema=True),
    ],
    ids=["adamw", "loss scale", "averaged weights"],
)
def test_every_optimizer_goes_on_with_all_of_its_state(optimizer, tmp_path):
    def fresh():
        keras.utils.set_random_seed(0)
        return build(optimizer=type(optimizer).from_config(optimizer.get_config()))

    model, _ = train(tmp_path / "whole", model=fresh())
    expected = [variable.numpy() for variable in state_of(model)]
    assert train(tmp_path / "parts", 7, fresh()) is None
    model, _ = train(tmp_path / "parts", model=fresh())
    for variable, value in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


@pytest.mark.parametrize("use_ema", [False, True])
def test_a_finished_training_is_not_trained_again(use_ema, tmp_path):
    model, history = train(tmp_path, model=build(optimizer=SGD(0.1, use_ema=use_ema)), epochs=1)
    before = [weight.numpy() for weight in model.weights]
    again, same = train(tmp_path, model=build(optimizer=SGD(0.1, use_ema=use_ema)), epochs=1)
    for weight, value in zip(again.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert same == history


def test_the_last_checkpoints_stay_and_nothing_that_was_not_finished(tmp_path):
    (tmp_path / ".123-step-0000000002.npz").touch()
    train(tmp_path, keep=2)
    assert steps_in(tmp_path) == [15, 14]
    assert sorted(os.listdir(tmp_path)) == ["step-0000000014.npz", "step-0000000015.npz"]


def flip_a_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[: len(content) // 2], flip_a_bit],
    ids=["empty", "cut short", "a bit flipped"],
)
def test_a_damaged_newest_checkpoint_is_passed_over(damage, tmp_path):
    train(tmp_path, interrupt_at=5)
    newest, before = checkpoints.checkpoints(tmp_path)[:2]
    newest.write_bytes(damage(newest.read_bytes()))
    model = build()
    with pytest.warns(UserWarning, match=f"damaged checkpoint, .*{newest.name}"):
        state = checkpoints.restore(model, tmp_path)
    assert f"{state.step:010}" in before.name
    assert model.optimizer.iterations == state.step


def test_it_does_not_begin_anew_where_all_checkpoints_are_damaged(tmp_path):
    (tmp_path / "step-0000000004.npz").write_bytes(b"PK")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(ValueError, match="Remove them to begin anew"),
    ):
        checkpoints.restore(build(), tmp_path)


def test_nothing_is_restored_from_nothing(tmp_path):
    assert checkpoints.restore(build(), tmp_path / "missing") is None
    (tmp_path / "notes.txt").touch()
    assert checkpoints.restore(build(), tmp_path) is None


@pytest.mark.parametrize(
    "other", [{"width": 7}, {"optimizer": keras.optimizers.Adam()}], ids=["network", "optimizer"]
)
def test_a_checkpoint_of_another_model_is_refused(other, tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(ValueError, match="of another model, or of another optimizer"):
        checkpoints.restore(build(**other), tmp_path)


def test_a_changed_length_of_the_epoch_is_refused(tmp_path):
    checkpointing = checkpoints.Checkpointing(tmp_path, checkpoints.State(step=7, epoch=1))
    with pytest.raises(ValueError, match="steps_per_epoch=9"):
        checkpoints.fit(build(), batches, checkpointing, steps_per_epoch=9, epochs=2)


@pytest.mark.parametrize("option", [{"every_steps": 0}, {"keep": 0}])
def test_impossible_numbers_are_refused(option, tmp_path):
    with pytest.raises(ValueError, match=next(iter(option))):
        checkpoints.Checkpointing(tmp_path, **option)


def assert_earlier_ones_are_whole(directory, step):
    assert steps_in(directory)[0] == step
    assert checkpoints.restore(build(), directory).step == step
    assert not [name for name in os.listdir(directory) if name.startswith(".")]


def test_a_full_disk_stops_training_and_spares_the_earlier_checkpoints(tmp_path):
    assert train(tmp_path, interrupt_at=4) is None
    assert steps_in(tmp_path) == [4, 2]
    size = checkpoints.checkpoints(tmp_path)[0].stat().st_size
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The file ends in the middle of being written, as on a disk that fills up.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, unlimited[1]))
    try:
        with pytest.raises(OSError, match="step 5 can't be written.*last good .* step 4.*room"):
            train(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert_earlier_ones_are_whole(tmp_path, 4)


def test_a_folder_that_cannot_be_written_to_stops_training_with_a_sentence(tmp_path, monkeypatch):
    assert train(tmp_path, interrupt_at=4) is None
    # From within, since the way there is closed to others than its owner.
    monkeypatch.chdir(tmp_path)
    user = os.geteuid()
    os.chmod(".", 0o555)
    if user == 0:  # whom no permission keeps out
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match="step 5 can't be written.*last good .* step 4"):
            train(".")
    finally:
        os.seteuid(user)
        os.chmod(".", 0o755)
    assert_earlier_ones_are_whole(tmp_path, 4)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    assert train(tmp_path, interrupt_at=4) is None

    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.weights[0].assign_add(self.model.weights[0] * np.nan)

    model = build()
    state = checkpoints.restore(model, tmp_path)
    checkpointing = checkpoints.Checkpointing(tmp_path, state)
    with pytest.raises(FloatingPointError, match="After step 5 .* that of step 4"):
        checkpoints.fit(
            model,
            batches,
            checkpointing,
            steps_per_epoch=STEPS,
            epochs=1,
            callbacks=[Spoil()],
            shuffle=False,
            verbose=0,
        )
    assert_earlier_ones_are_whole(tmp_path, 4)
