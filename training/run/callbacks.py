"""What happens beside training: models saved, scores recorded, pictures drawn."""

import time

import keras
import numpy as np

from keras_encnet.optimizers import unwrapped
from keras_encnet.utils.files import atomic_file
from training.figures.curves import save_curves
from training.run import checkpoints, run_folder


def of_run(run_dir, task, state, writes=True, averages=False):
    """Returns the callbacks of a run that is recorded in `run_dir`.

    Args:
        run_dir: path of the run folder.
        task: the task, see `training.tasks`.
        state: the `checkpoints.State` that the run goes on from.
        writes: whether this process records the run: of several machines, one does.
        averages: whether to evaluate and save averaged weights.
    """
    best = max(state.history.get(task.monitor, ()), default=-np.inf)
    recording = [
        SaveModels(run_dir, task.monitor, best),
        RecordHistory(run_dir, state.epoch),
        keras.callbacks.TensorBoard(run_dir / "tensorboard", write_graph=False),
        *task.callbacks(run_dir),
    ]
    recording = recording if writes else []
    if averages:
        recording = [AveragesIn(), *recording, AveragesOut()]
    return [StopAtNaN(run_dir / "checkpoints", state), *task.checks(), *recording]


class StopAtNaN(keras.callbacks.Callback):
    """Raises FloatingPointError when a loss isn't finite any more, before anything is saved."""

    def __init__(self, directory, state):
        super().__init__()
        self.directory = directory
        self.state = state

    def on_train_batch_end(self, batch, logs=None):
        # `Checkpointing`, the last callback, has yet to count this step.
        self._check(logs, f"at step {self.state.step + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs, f"in validation after step {self.state.step}")

    def _check(self, logs, when):
        if np.isfinite(float(logs["loss"])) and np.isfinite(float(logs.get("val_loss", 0))):
            return
        values = {name: float(value) for name, value in logs.items() if name.endswith("loss")}
        bad = {name: value for name, value in values.items() if not np.isfinite(value)}
        outputs = [name for name in bad if name not in ("loss", "val_loss")]
        raise FloatingPointError(
            f"The loss is not finite {when}: "
            f"{', '.join(f'{name} is {bad[name]}' for name in outputs or bad)}. "
            f"{checkpoints.describe_newest(self.directory)} A lower --learning-rate, more "
            "--warmup-steps or --clip-norm 1 may help; under --precision float16, bfloat16."
        )


class AveragesIn(keras.callbacks.Callback):
    """Replaces the weights by their averages, for validation and for the models saved after it."""

    def on_test_begin(self, logs=None):
        unwrapped(self.model.optimizer).swap_averages(self.model.trainable_variables)


class AveragesOut(keras.callbacks.Callback):
    """Restores the weights, for the checkpoint and for training."""

    def on_epoch_end(self, epoch, logs=None):
        unwrapped(self.model.optimizer).swap_averages(self.model.trainable_variables)


class SaveModels(keras.callbacks.Callback):
    """Saves the last model, and the best by the score `monitor`, whole or not at all."""

    def __init__(self, run_dir, monitor, best=-np.inf):
        super().__init__()
        self.run_dir = run_dir
        self.monitor = monitor
        self.best = best

    def on_epoch_end(self, epoch, logs=None):
        with atomic_file(self.run_dir / "last.keras") as temporary:
            self.model.save(temporary)
        if logs[self.monitor] > self.best:
            self.best = logs[self.monitor]
            with atomic_file(self.run_dir / "best.keras") as temporary:
                self.model.save(temporary)
            scores = {name: value for name, value in logs.items() if name.startswith("val_")}
            run_folder.write_json(self.run_dir / "metrics.json", {"epoch": epoch + 1, **scores})


class RecordHistory(keras.callbacks.Callback):
    """Writes each epoch's numbers as JSON, and their course as a picture.

    Beside the logs these are the learning rate and how many seconds the epoch took, validation
    included; of an epoch that was interrupted, only what was trained since.
    """

    def __init__(self, run_dir, epochs_done=0):
        super().__init__()
        self.run_dir = run_dir
        written = run_folder.read_json(run_dir / "history.json", default={})
        self.history = {name: values[:epochs_done] for name, values in written.items()}

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs = {
            **logs,
            "learning_rate": self.model.optimizer.learning_rate,
            "seconds": time.perf_counter() - self.began,
        }
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        run_folder.write_json(self.run_dir / "history.json", self.history)
        save_curves(self.run_dir / "curves.png", self.history)
