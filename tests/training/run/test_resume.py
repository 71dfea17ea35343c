"""A resumed training ends with weights identical to those of an uninterrupted one."""

import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.optimizers import SGD
from tests.training.run.small_training import Interrupt, batches, build, state_of, train
from training.run import callbacks, checkpoints, resume

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Gradients do not exist"),  # of the stochastic scale
]


@pytest.fixture(scope="module")
def uninterrupted(eager, tmp_path_factory):
    keras.utils.set_random_seed(0)
    model, history = train(tmp_path_factory.mktemp("uninterrupted"))
    return [variable.numpy() for variable in state_of(model)], history


def assert_same(resumed, uninterrupted):
    model, history = resumed
    values, expected_history = uninterrupted
    for variable, value in zip(state_of(model), values, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)
    assert history == expected_history


# Before the first checkpoint, before the last step of an epoch, and three times.
@pytest.mark.parametrize("interruptions", [(1,), (4,), (7, 1, 4)])
def test_resume_gives_identical_weights(interruptions, uninterrupted, tmp_path):
    for step in interruptions:
        keras.utils.set_random_seed(0)
        assert train(tmp_path, interrupt=Interrupt(step)) is None
    keras.utils.set_random_seed(0 if not checkpoints.checkpoints(tmp_path) else 1)
    assert_same(train(tmp_path), uninterrupted)


@pytest.mark.slow
def test_resume_gives_identical_weights_with_compiled_steps(tmp_path):
    tf.config.run_functions_eagerly(False)
    try:
        keras.utils.set_random_seed(0)
        model, history = train(tmp_path / "uninterrupted")
        expected = [variable.numpy() for variable in state_of(model)], history
        keras.utils.set_random_seed(0)
        assert train(tmp_path / "resumed", interrupt=Interrupt(7)) is None
        assert_same(train(tmp_path / "resumed"), expected)
    finally:
        tf.config.run_functions_eagerly(True)


@pytest.mark.slow
def test_a_killed_process_is_resumed_with_identical_weights(uninterrupted, tmp_path):
    # The longer form, with the command line, several devices and workers, is in
    # test_interruptions.py.
    code = """
import sys, keras, tensorflow as tf
from tests.training.run.small_training import Interrupt, train
tf.config.run_functions_eagerly(True)
keras.utils.set_random_seed(0)
train(sys.argv[1], Interrupt(8, kill=True))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-4000:]
    assert checkpoints.restore(build(), tmp_path).step == 8
    assert_same(train(tmp_path), uninterrupted)


def test_checkpoints_restore_random_states(uninterrupted, tmp_path):
    # Without them, the comparison above would prove nothing about Dropout.
    model = build()
    train(tmp_path, model=model, epochs=1)
    path = checkpoints.checkpoints(tmp_path)[0]
    seeds = [v for v in model.variables if "seed_generator" in v.path]
    assert len(seeds) == 2
    expected = [seed.numpy() for seed in seeds]
    other = build()
    checkpoints.restore(other, path.parent)
    restored = [v.numpy() for v in other.variables if "seed_generator" in v.path]
    np.testing.assert_array_equal(restored, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.AdamW(0.01),
        keras.mixed_precision.LossScaleOptimizer(SGD(0.1), dynamic_growth_steps=3),
        SGD(0.1, use_ema=True),
    ],
    ids=["adamw", "loss scale", "averaged weights"],
)
def test_resume_restores_the_state_of_every_optimizer(optimizer, tmp_path):
    def fresh():
        keras.utils.set_random_seed(0)
        return build(optimizer=type(optimizer).from_config(optimizer.get_config()))

    model, _ = train(tmp_path / "uninterrupted", model=fresh())
    expected = [variable.numpy() for variable in state_of(model)]
    assert train(tmp_path / "resumed", Interrupt(7), fresh()) is None
    model, _ = train(tmp_path / "resumed", model=fresh())
    for variable, value in zip(state_of(model), expected, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


@pytest.mark.parametrize("use_ema", [False, True])
def test_a_finished_training_is_not_continued(use_ema, tmp_path):
    model, history = train(tmp_path, model=build(optimizer=SGD(0.1, use_ema=use_ema)), epochs=1)
    before = [weight.numpy() for weight in model.weights]
    again, same = train(tmp_path, model=build(optimizer=SGD(0.1, use_ema=use_ema)), epochs=1)
    for weight, value in zip(again.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert same == history


def test_changed_steps_per_epoch_raise(tmp_path):
    checkpointing = callbacks.Checkpointing(tmp_path, checkpoints.State(step=7, epoch=1))
    with pytest.raises(ValueError, match="steps_per_epoch=9"):
        resume.fit(build(), batches, checkpointing, steps_per_epoch=9, epochs=2)
