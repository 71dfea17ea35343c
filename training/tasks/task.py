"""The interfaces of tasks and scorers for the fit loop and the evaluation command."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from training.input.fingerprint import Fingerprint


class Task(Protocol):
    """Data, network, losses and metrics of one training, for `training.run.fit`.

    Attributes:
        config: the recipe, with values in place of its automatic options.
        steps_per_epoch: number of batches per epoch.
    """

    config: Any
    steps_per_epoch: int

    def fingerprint(self) -> dict[str, Fingerprint]:
        """Returns the fingerprints of the data by split, see `training.input.fingerprint`."""

    def plan(self) -> str:
        """Returns what the data imply for the training, as sentences."""

    def build_model(self) -> keras.Model:
        """Builds the network for the classes of the data."""

    def objectives(self, model: keras.Model) -> dict[str, Any]:
        """Returns the arguments of `compile` other than the optimizer."""

    def computed_options(self) -> dict[str, Any]:
        """Returns what was computed from the data, for the record of the run."""

    def multipliers(self, model: keras.Model) -> dict[str, float]:
        """Returns factors of the learning rate by layer name."""

    def train_batches(
        self, first_step: int = 0, input_context: tf.distribute.InputContext = ...
    ) -> tf.data.Dataset:
        """Returns endless batches of augmented samples, from step `first_step` on."""

    def val_batches(self, input_context: tf.distribute.InputContext = ...) -> tf.data.Dataset:
        """Returns every validation sample exactly once."""

    def finish(self, model: keras.Model, run_dir: Path) -> None:
        """Completes the results of a trained model; a repeated call changes nothing.

        `metrics.json` then has the keys that `Config.final_results` returns. Runs on one machine.
        """

    def naming_damaged_files(self) -> AbstractContextManager[None]:
        """Returns a context in which errors of the batches name the files that cannot be read."""

    def shared_callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns callbacks that change or verify the training, on every machine.

        They come before those that save models and checkpoints.
        """

    def callbacks(self, run_dir: Path) -> list[keras.callbacks.Callback]:
        """Returns callbacks that record more about the training, on one machine."""


class Scorer(Protocol):
    """Scores one model on one split, for `training.evaluate`.

    Attributes:
        split: the split, with `class_names` and a length.
        name: name of the result: `evaluation-<split>`, with `-multi-scale` where it applies.
        settings: what `scores.json` records about the measurement.
    """

    split: Any
    name: str
    settings: dict[str, Any]

    def score(self) -> tuple[dict[str, Any], np.ndarray]:
        """Runs the model on every sample of the split.

        Returns:
            All scores as plain numbers, and the confusion matrix: counts `(classes, classes)`,
            whose rows are the truth.
        """

    def table(self, scores: Mapping[str, Any]) -> str:
        """Returns scores as text, with one row per class."""

    def save_figures(self, folder: Path, scores: Mapping[str, Any], matrix: np.ndarray) -> None:
        """Writes the figures of the evaluation, the confusion matrix among them."""
