"""Frozen backbones, early stopping, photometric augmentation and callbacks of the user, resumed."""

import sys
from types import ModuleType

import keras
import numpy as np
import pytest

from tests.fixtures import SMALL_ENCNET
from tests.training.run.small_training import state_of
from training.configs.scenes import ScenesEncNet
from training.datasets import scenes
from training.run import fit
from training.tasks import segmentation

pytestmark = [pytest.mark.usefixtures("eager"), pytest.mark.slow]

OPTIONS = {
    **SMALL_ENCNET,
    "width_multiplier": 0.0625,
    "blocks": (1, 1, 1, 1),
    "epochs": 3,
    "checkpoint_every": 1,
    "diagnostics": 0,
    "freeze_backbone": 1,
    "early_stopping": 2,
    "saturation": 0.3,
    "blur": 0.5,
    "callback": ("tracking:track",),
}


class Track(keras.callbacks.Callback):
    """Records epochs, and interrupts the training before a step, counted over all epochs."""

    def __init__(self, interrupt=None):
        super().__init__()
        self.interrupt = interrupt
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.interrupt:
            raise KeyboardInterrupt


def train(data, run_dir, monkeypatch, interrupt=None):
    """Trains; returns the model, the history, and the callback of the user."""
    module, callback = ModuleType("tracking"), Track(interrupt)
    module.track = lambda config, run_dir: callback
    monkeypatch.setitem(sys.modules, "tracking", module)
    config = ScenesEncNet(data=str(data), start_from=str(data.parent / "first.keras"), **OPTIONS)
    if interrupt is None:
        return *fit.train(config, run_dir), callback
    with pytest.raises(KeyboardInterrupt):
        fit.train(config, run_dir)
    return callback


def test_resume_in_either_phase_gives_identical_weights(tmp_path, monkeypatch):
    data = scenes.write(tmp_path / "scenes", train=8, val=2, test=1)  # two steps per epoch
    first = segmentation.build_model(ScenesEncNet(**OPTIONS), scenes.CLASSES)
    first.save(tmp_path / "first.keras")  # random weights cannot be frozen
    model, history, whole = train(data, tmp_path / "whole", monkeypatch)
    assert whole.epochs == [0, 1, 2]
    # Before the second step of the frozen epoch, and of the first epoch after it.
    assert train(data, tmp_path / "resumed", monkeypatch, 1).epochs == [0]
    assert train(data, tmp_path / "resumed", monkeypatch, 3).epochs == [0, 1]
    resumed, same_history, callback = train(data, tmp_path / "resumed", monkeypatch)
    assert callback.epochs == [1, 2]
    assert same_history == history
    for one, other in zip(state_of(resumed), state_of(model), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
