"""Early stopping: which epoch is the last, resumed runs included."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from training.configs.cifar10 import CIFAR10ResNet64d
from training.configs.scenes import ScenesFCN
from training.datasets import cifar
from training.run import fit
from training.run.callbacks import StopEarly
from training.run.checkpoints import State


def epochs_until_stop(config, scores, done=0):
    """Returns the number of epochs that a run trains, resumed after `done` of them."""
    state = State(epoch=done, history={"val_mean_iou": list(scores[:done])})
    callback = StopEarly(config, state)
    callback.set_model(SimpleNamespace(stop_training=False))
    for epoch, score in enumerate(scores[done:], start=done):
        callback.on_epoch_end(epoch, {"val_mean_iou": score})
        state.history["val_mean_iou"].append(score)
        if callback.model.stop_training:
            return epoch + 1
    return len(scores)


@pytest.mark.parametrize(
    ("scores", "patience", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], 1, 4),
        ([0.4, 0.3, 0.5, 0.6], 1, 2),
        ([0.4, 0.3, 0.5, 0.5, 0.5, 0.6], 2, 5),  # an equal score is no improvement
        ([0.4, 0.3, 0.2, 0.1], None, 4),
    ],
)
def test_training_stops_after_epochs_without_a_better_score(scores, patience, expected, capsys):
    config = ScenesFCN(epochs=len(scores), early_stopping=patience)
    assert epochs_until_stop(config, scores) == expected
    printed = capsys.readouterr().out
    stopped = expected < len(scores)
    assert ("val_mean_iou has not improved" in printed) == stopped
    if stopped:
        assert f"Stopped after epoch {expected}:" in printed
        assert f"epoch {np.argmax(scores[:expected]) + 1} (best)" in printed


def test_a_resumed_run_stops_at_the_same_epoch(rng):
    for patience in (1, 2, 3):
        scores = rng.integers(0, 6, 12) / 10
        config = ScenesFCN(epochs=len(scores), early_stopping=patience)
        expected = epochs_until_stop(config, list(scores))
        for done in range(expected):
            assert epochs_until_stop(config, list(scores), done) == expected


@pytest.mark.slow
def test_a_stopped_run_is_finished(eager, tmp_path, monkeypatch):
    # All images are the same, so that every tenth is right in every epoch.
    images, labels = np.zeros((20, 32, 32, 3), "uint8"), np.arange(20, dtype="int32") % 10
    split = cifar.Split("train", images, labels, tuple("abcdefghij"))
    monkeypatch.setattr(cifar, "read_split", lambda *arguments: split)
    config = CIFAR10ResNet64d(width=4, batch_size=20, epochs=5, early_stopping=1)
    _, history = fit.train(config, tmp_path / "run")
    assert len(history["val_accuracy"]) == 2
    assert fit.is_finished(config, tmp_path / "run")
    with pytest.raises(FileExistsError, match="finished after 2 epochs"):
        fit.train(config, tmp_path / "run")
    longer = dataclasses.replace(config, early_stopping=3)
    with pytest.raises(FileExistsError, match="other options: early_stopping=1"):
        fit.train(longer, tmp_path / "run")
