"""What a run prints while and after it trains."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from training.configs.config import Config
from training.run import checkpoints

INTERVAL = 60  # seconds


class LogProgress(keras.callbacks.Callback):
    """Prints a line about every minute, for logs, in which Keras prints one line per epoch.

    Args:
        state: the `checkpoints.State` of the run.
        epochs: number of epochs in all.
        steps_per_epoch: number of steps per epoch.
        clock: function that returns the time in seconds.
    """

    def __init__(
        self,
        state: checkpoints.State,
        epochs: int,
        steps_per_epoch: int,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self.state = state
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.clock = clock
        self.printed = clock()

    def on_epoch_begin(self, epoch, logs=None):
        self.timed = -1  # the first step may compile, and waits for the first batch

    def on_train_batch_end(self, batch, logs=None):
        self.timed += 1
        if self.timed == 0:
            self.start = self.clock()
        if self._is_due():
            print(self._describe_step(logs), flush=True)

    def on_test_batch_end(self, batch, logs=None):
        if self._is_due():
            print(f"epoch {self.state.epoch + 1}, validation: {batch + 1} batches", flush=True)

    def _is_due(self):
        now = self.clock()
        due = now - self.printed >= INTERVAL
        if due:
            self.printed = now
        return due

    def _describe_step(self, logs):
        step = self.state.step + 1  # `Checkpointing`, the last callback, has not counted it yet
        epoch = self.state.epoch
        speed = "the first step may include compilation"
        if self.timed:
            seconds = (self.printed - self.start) / self.timed
            left = (self.epochs * self.steps_per_epoch - step) * seconds
            speed = f"{seconds:.3g} s per step, {duration(left)} of training steps left"
        return (
            f"epoch {epoch + 1} of {self.epochs}, step {step - epoch * self.steps_per_epoch} of "
            f"{self.steps_per_epoch}: loss {float(logs['loss']):.4g}, {speed}"
        )


def duration(seconds: float) -> str:
    """Returns a time in words.

    >>> duration(42), duration(754), duration(12345)
    ('42 s', '13 min', '3 h 26 min')
    """
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def conclusion(
    config: Config, run_dir: Path, metrics: Mapping[str, Any], commands: Sequence[str]
) -> str:
    """Returns where a finished run is, its best score, and what to do next.

    Args:
        config: the recipe.
        run_dir: path of the run folder.
        metrics: content of its `metrics.json`.
        commands: commands for the trained model.
    """
    score = f"{config.monitor} {metrics[config.monitor]:.4f} after epoch {metrics['epoch']}"
    next_steps = "".join(f"\n    {command}" for command in commands)
    return f"The run is in {run_dir}; its best model has {score}. Next:\n{next_steps}"
