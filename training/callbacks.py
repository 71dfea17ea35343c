"""What happens beside training: models saved, scores recorded, pictures drawn."""

import time

import keras
import numpy as np
import tensorflow as tf

from training import pictures, records
from training.datasets.folder import read_mask
from training.input_pipeline import decode_image

# Validation images shown in TensorBoard.
SHOWN = 4


def of_run(run_dir, monitor, state):
    """Returns the callbacks of a run that is recorded in `run_dir`.

    Args:
        run_dir: path of the run folder.
        monitor: the score to choose the best model by.
        state: the `checkpoints.State` that the run goes on from.
    """
    return [
        SaveModels(run_dir, monitor, best=max(state.history.get(monitor, ()), default=-np.inf)),
        RecordHistory(run_dir, state.epoch),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.TensorBoard(run_dir / "tensorboard", write_graph=False),
    ]


class SaveModels(keras.callbacks.Callback):
    """Saves the last model, and the best by the score `monitor`, whole or not at all."""

    def __init__(self, run_dir, monitor, best=-np.inf):
        super().__init__()
        self.run_dir = run_dir
        self.monitor = monitor
        self.best = best

    def on_epoch_end(self, epoch, logs=None):
        records.write_whole(self.run_dir / "last.keras", self.model.save)
        if logs[self.monitor] > self.best:
            self.best = logs[self.monitor]
            records.write_whole(self.run_dir / "best.keras", self.model.save)
            scores = {name: value for name, value in logs.items() if name.startswith("val_")}
            records.write_json(self.run_dir / "metrics.json", {"epoch": epoch + 1, **scores})


class RecordHistory(keras.callbacks.Callback):
    """Writes each epoch's numbers as JSON, and their course as a picture.

    Beside the logs these are the learning rate and how many seconds the epoch took, validation
    included; of an epoch that was interrupted, only what was trained since.
    """

    def __init__(self, run_dir, epochs_done=0):
        super().__init__()
        self.run_dir = run_dir
        written = records.read_json(run_dir / "history.json", default={})
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
        records.write_json(self.run_dir / "history.json", self.history)
        pictures.save_curves(self.run_dir / "curves.png", self.history)


class ShowPredictions(keras.callbacks.Callback):
    """Shows TensorBoard some validation images: image, truth and prediction side by side."""

    def __init__(self, log_dir, split, void):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(log_dir))
        self.void = void
        count = min(SHOWN, len(split))
        self.images = [decode_image(str(path)).numpy() for path in split.image_paths[:count]]
        self.masks = [read_mask(path) for path in split.mask_paths[:count]]

    def on_epoch_end(self, epoch, logs=None):
        classes = self.model.classes
        with self.writer.as_default(step=epoch):
            predictions = self.model.segment(self.images)
            for i, row in enumerate(zip(self.images, self.masks, predictions, strict=True)):
                image, truth, prediction = row
                painted = [pictures.colour(mask, classes) for mask in (truth, prediction)]
                tf.summary.image(f"image_{i}", np.concatenate([image, *painted], axis=1)[None])
        self.writer.flush()
