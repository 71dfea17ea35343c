"""Checkpoint files: kept, damaged, incompatible, and unwritable ones."""

import os
import resource

import keras
import numpy as np
import pytest

from tests.training.run.small_training import STEPS, Interrupt, batches, build, train
from training.run import callbacks, checkpoints, resume

pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Gradients do not exist"),  # of the stochastic scale
]


def steps_in(directory):
    return [int(path.stem.split("-")[1]) for path in checkpoints.checkpoints(directory)]


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    train(tmp_path, keep=2)
    assert steps_in(tmp_path) == [15, 14]
    assert sorted(os.listdir(tmp_path)) == ["step-0000000014.npz", "step-0000000015.npz"]


def flip_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[: len(content) // 2], flip_bit],
    ids=["empty", "truncated", "bit flip"],
)
def test_damaged_checkpoints_are_skipped(damage, tmp_path):
    train(tmp_path, interrupt=Interrupt(5))
    newest, before = checkpoints.checkpoints(tmp_path)[:2]
    newest.write_bytes(damage(newest.read_bytes()))
    model = build()
    with pytest.warns(UserWarning, match=f"damaged checkpoint, .*{newest.name}"):
        state = checkpoints.restore(model, tmp_path)
    assert f"{state.step:010}" in before.name
    assert model.optimizer.iterations == state.step


def test_training_does_not_restart_if_all_checkpoints_are_damaged(tmp_path):
    (tmp_path / "step-0000000004.npz").write_bytes(b"PK")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(ValueError, match="Remove them to start from the beginning"),
    ):
        checkpoints.restore(build(), tmp_path)


def test_restore_without_checkpoints_returns_none(tmp_path):
    assert checkpoints.restore(build(), tmp_path / "missing") is None
    (tmp_path / "notes.txt").touch()
    assert checkpoints.restore(build(), tmp_path) is None


@pytest.mark.parametrize(
    "other", [{"width": 7}, {"optimizer": keras.optimizers.Adam()}], ids=["network", "optimizer"]
)
def test_checkpoints_of_another_model_raise(other, tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(ValueError, match="belongs to another model or another optimizer"):
        checkpoints.restore(build(**other), tmp_path)


def assert_earlier_checkpoints_are_intact(directory, step):
    assert steps_in(directory)[0] == step
    assert checkpoints.restore(build(), directory).step == step
    assert not [name for name in os.listdir(directory) if name.startswith(".")]


def test_full_disk_leaves_earlier_checkpoints_intact(tmp_path):
    assert train(tmp_path, interrupt=Interrupt(4)) is None
    assert steps_in(tmp_path) == [4, 2]
    size = checkpoints.checkpoints(tmp_path)[0].stat().st_size
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Writing fails halfway, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, unlimited[1]))
    try:
        with pytest.raises(OSError, match="step 5 cannot be written.*last good .* step 4.*Free"):
            train(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert_earlier_checkpoints_are_intact(tmp_path, 4)


def test_read_only_folder_raises_a_clear_error(tmp_path, monkeypatch):
    assert train(tmp_path, interrupt=Interrupt(4)) is None
    # A relative path, as other users may not enter the parent folders.
    monkeypatch.chdir(tmp_path)
    user = os.geteuid()
    os.chmod(".", 0o555)
    if user == 0:  # root ignores permissions
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match="step 5 cannot be written.*last good .* step 4"):
            train(".")
    finally:
        os.seteuid(user)
        os.chmod(".", 0o755)
    assert_earlier_checkpoints_are_intact(tmp_path, 4)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    assert train(tmp_path, interrupt=Interrupt(4)) is None

    class Corrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.weights[0].assign_add(self.model.weights[0] * np.nan)

    model = build()
    state = checkpoints.restore(model, tmp_path)
    checkpointing = callbacks.Checkpointing(tmp_path, state)
    with pytest.raises(FloatingPointError, match="After step 5 .* from step 4"):
        resume.fit(
            model,
            batches,
            checkpointing,
            steps_per_epoch=STEPS,
            epochs=1,
            callbacks=[Corrupt()],
            shuffle=False,
            verbose=0,
        )
    assert_earlier_checkpoints_are_intact(tmp_path, 4)


@pytest.mark.parametrize("option", [{"every_steps": 0}, {"keep": 0}])
def test_intervals_below_1_raise(option, tmp_path):
    with pytest.raises(ValueError, match=next(iter(option))):
        callbacks.Checkpointing(tmp_path, **option)
