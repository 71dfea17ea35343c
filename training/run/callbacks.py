"""Callbacks of every run: checkpoints, saved models, recorded scores, averaged weights."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_encnet.optimizers import unwrapped
from keras_encnet.utils.files import atomic_file, read_json, write_json
from training.configs.config import Config
from training.figures.curves import save_curves
from training.run import checkpoints
from training.run.strategies import is_chief
from training.tasks.task import Task

# Factors by which the mean loss of an epoch exceeds the first loss if a run may diverge, and
# if it certainly does. Batch normalization keeps some networks between the two.
WORSE, EXPLODED = 2, 100


def run_callbacks(
    run_dir: Path,
    task: Task,
    state: checkpoints.State,
    records: bool = True,
    averages_weights: bool = False,
    more: Sequence[keras.callbacks.Callback] = (),
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of a run, except for its `Checkpointing`.

    Args:
        run_dir: path of the run folder.
        task: the task, see `training.tasks.task`.
        state: the `checkpoints.State` that the run resumes from.
        records: whether this process writes to the run folder; of several
            workers only one does.
        averages_weights: whether to evaluate and save averaged weights.
        more: callbacks that run after those that record, if this process writes.
    """
    monitor = task.config.monitor
    best = max(state.history.get(monitor, ()), default=-np.inf)
    recording = [
        SaveModels(run_dir, monitor, best),
        RecordHistory(run_dir, state.epoch),
        keras.callbacks.TensorBoard(run_dir / "tensorboard", write_graph=False),
        *task.callbacks(run_dir),
        *more,
    ]
    recording = recording if records else []
    if averages_weights:
        recording = [SwapAveragesIn(), *recording, SwapAveragesOut()]
    stopping = [StopDiverged(run_dir / "checkpoints", state), StopEarly(task.config, state)]
    return [*stopping, *task.shared_callbacks(), *recording]


class Checkpointing(keras.callbacks.Callback):
    """Saves checkpoints at the end of every epoch and every `every_steps` steps.

    It must come after all callbacks that run at the end of an epoch, such as those that save the
    best model: if the process is killed before the checkpoint, they run again after resuming.

    Every worker must have it; only the chief writes.

    Args:
        directory: folder of the checkpoints.
        state: the `checkpoints.State` to resume from; it is updated during training.
        every_steps: interval of additional checkpoints within an epoch, or None.
        keep: number of checkpoints to keep.

    Raises:
        OSError: during training, if a checkpoint cannot be written.
        FloatingPointError: during training, if weights are not finite.
        ValueError: for an `every_steps` or `keep` below 1.
    """

    def __init__(
        self,
        directory: Path,
        state: checkpoints.State | None = None,
        every_steps: int | None = None,
        keep: int = 3,
    ):
        super().__init__()
        for argument, value in (("every_steps", every_steps), ("keep", keep)):
            if value is not None and value < 1:
                raise ValueError(f"`{argument}` must be at least 1. Received: {argument}={value}")
        self.directory = Path(directory)
        self.state = checkpoints.State() if state is None else state
        self.every_steps = every_steps
        self.keep = keep

    def on_train_batch_end(self, batch, logs=None):
        self.state.step += 1
        if self.state.partial_metrics:
            checkpoints.add_metrics(self.model, self.state.partial_metrics)
            self.state.partial_metrics = []
        last_of_epoch = batch + 1 == self.params["steps"]  # its checkpoint follows in on_epoch_end
        if self.every_steps and self.state.step % self.every_steps == 0 and not last_of_epoch:
            metrics = checkpoints.read_metrics(self.model)
            self._save(dataclasses.replace(self.state, partial_metrics=metrics))

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.state.history.setdefault(name, []).append(float(value))
        self.state.epoch = epoch + 1
        self._save(self.state)

    def _save(self, state):
        if is_chief(self.model.distribute_strategy):
            checkpoints.save(self.model, state, self.directory, self.keep)


class StopDiverged(keras.callbacks.Callback):
    """Raises `FloatingPointError` when a loss is not finite or explodes, before anything is saved.

    Args:
        directory: folder of the checkpoints.
        state: the `checkpoints.State` that the run resumes from.
    """

    def __init__(self, directory: Path, state: checkpoints.State):
        super().__init__()
        self.directory = directory
        self.state = state
        self.first = next(iter(state.history.get("loss", ())), None)

    def on_train_batch_end(self, batch, logs=None):
        step = self.state.step + 1  # `Checkpointing`, the last callback, has not counted it yet
        self._check_finite(logs, f"at step {step}")
        loss = float(logs["loss"])
        if self.first is None:
            self.first = loss
        # Untrained networks have losses near the logarithm of the number of classes.
        if loss > EXPLODED * max(self.first, 1):
            raise FloatingPointError(
                f"The loss has grown from {self.first:.3g} to {loss:.3g} at step {step}: the "
                f"training diverges. {self._remedy()}"
            )

    def on_epoch_end(self, epoch, logs=None):
        self._check_finite(logs, f"in validation after step {self.state.step}")
        if float(logs["loss"]) > WORSE * max(self.first, 1):
            print(
                f"warning: the mean loss of epoch {epoch + 1}, {float(logs['loss']):.3g}, is well "
                f"above the first, {self.first:.3g}: the training may diverge. {self._remedy()}",
                file=sys.stderr,
            )

    def _check_finite(self, logs, when):
        if np.isfinite(float(logs["loss"])) and np.isfinite(float(logs.get("val_loss", 0))):
            return
        losses = {name: float(value) for name, value in logs.items() if name.endswith("loss")}
        bad = {name: value for name, value in losses.items() if not np.isfinite(value)}
        outputs = [name for name in bad if name not in ("loss", "val_loss")]
        raise FloatingPointError(
            f"The loss is not finite {when}: "
            f"{', '.join(f'{name} is {bad[name]}' for name in outputs or bad)}. {self._remedy()}"
        )

    def _remedy(self):
        return (
            f"{checkpoints.describe_newest(self.directory)} A lower --learning-rate, more "
            "--warmup-steps or --clip-norm 1 may help; instead of --precision float16, bfloat16."
        )


class StopEarly(keras.callbacks.Callback):
    """Stops training when the validation score does not improve, if the recipe says so.

    The scores of all epochs decide, which checkpoints contain: a resumed run stops at the same
    epoch.

    Args:
        config: the recipe.
        state: the `checkpoints.State` that the run resumes from.
    """

    def __init__(self, config: Config, state: checkpoints.State):
        super().__init__()
        self.config = config
        self.state = state

    def on_epoch_end(self, epoch, logs=None):
        monitor = self.config.monitor
        scores = [*self.state.history.get(monitor, ()), logs[monitor]]
        if self.config.is_over(scores) and len(scores) < self.config.epochs:
            print(
                f"Stopped after epoch {epoch + 1}: {monitor} has not improved for "
                f"{self.config.early_stopping} epochs. Models saved by the run are those of epoch "
                f"{scores.index(max(scores)) + 1} (best) and of this epoch (last).",
                flush=True,
            )
            self.model.stop_training = True


class SwapAveragesIn(keras.callbacks.Callback):
    """Exchanges weights and their averages before validation, so that averages are saved."""

    def on_test_begin(self, logs=None):
        unwrapped(self.model.optimizer).swap_averages(self.model.trainable_variables)


class SwapAveragesOut(keras.callbacks.Callback):
    """Exchanges them back after the models are saved, for the checkpoint and for training."""

    def on_epoch_end(self, epoch, logs=None):
        unwrapped(self.model.optimizer).swap_averages(self.model.trainable_variables)


class SaveModels(keras.callbacks.Callback):
    """Saves the last model, and the best one by the score `monitor`."""

    def __init__(self, run_dir: Path, monitor: str, best: float = -np.inf):
        super().__init__()
        self.run_dir = run_dir
        self.monitor = monitor
        self.best = best

    def on_epoch_end(self, epoch, logs=None):
        self._save("last.keras")
        if logs[self.monitor] > self.best:
            self.best = logs[self.monitor]
            self._save("best.keras")
            scores = {name: value for name, value in logs.items() if name.startswith("val_")}
            write_json(self.run_dir / "metrics.json", {"epoch": epoch + 1, **scores})

    def _save(self, name):
        with atomic_file(self.run_dir / name) as temporary:
            self.model.save(temporary)


class RecordHistory(keras.callbacks.Callback):
    """Writes the logs of all epochs as JSON and as a figure.

    Adds the learning rate and the seconds per epoch, validation included. For an epoch that was
    interrupted, these are the seconds since the run was resumed.
    """

    def __init__(self, run_dir: Path, epochs_done: int = 0):
        super().__init__()
        self.run_dir = run_dir
        written = read_json(run_dir / "history.json", {})
        self.history = {name: values[:epochs_done] for name, values in written.items()}

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs = {
            **logs,
            "learning_rate": self.model.optimizer.learning_rate,
            "seconds": time.perf_counter() - self.start,
        }
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        write_json(self.run_dir / "history.json", self.history)
        save_curves(self.run_dir / "curves.png", self.history)
