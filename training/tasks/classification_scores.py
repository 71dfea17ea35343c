"""Scores of classifiers."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tabulate
import tensorflow as tf

import keras_encnet
from training import cli
from training.datasets import cifar
from training.figures.confusion_matrix import save_confusion_matrix
from training.input import cifar_batches
from training.tasks.segmentation_scores import SegmentationScoring


class ClassificationScorer:
    """The `training.tasks.task.Scorer` of a `ClassificationModel`.

    Args:
        model: the model.
        data: `cifar10` or `cifar100`.
        split: name of the split, such as `test` or `train[90%:]`.
        options: options of segmentation, which must be left at their defaults.
        run: configuration of the run that trained the model; empty if unknown.

    Raises:
        ValueError: if an option of segmentation is given.
    """

    def __init__(
        self,
        model: keras_encnet.ClassificationModel,
        data: str,
        split: str,
        options: SegmentationScoring,
        run: Mapping[str, Any],
    ):
        defaults = {field.name: field.default for field in dataclasses.fields(options)}
        given = {name: v for name, v in vars(options).items() if v != defaults[name]}
        cli.refuse(given, "for classifiers")
        self.model = model
        self.split = cifar.read_split(data, split, run.get("data_dir"))
        self.name = f"evaluation-{split}"
        self.settings: dict[str, Any] = {}

    def score(self) -> tuple[dict[str, Any], np.ndarray]:
        matrix = confusion_matrix(self.model, self.split)
        return report(matrix, self.split.class_names), matrix

    def table(self, scores: Mapping[str, Any]) -> str:
        rows = [(name, None if r is None else 100 * r) for name, r in scores["recall"].items()]
        classes = tabulate.tabulate(
            rows, ("class", "recall %"), floatfmt=".1f", missingval="absent"
        )
        return f"{classes}\n\naccuracy {scores['accuracy']:.2%}   error {scores['error']:.2%}"

    def save_figures(self, folder: Path, scores: Mapping[str, Any], matrix: np.ndarray) -> None:
        save_confusion_matrix(folder / "confusion_matrix.png", matrix, self.split.class_names)


def confusion_matrix(model: keras_encnet.ClassificationModel, split: cifar.Split) -> np.ndarray:
    """Runs a classifier on every image of `split`.

    Returns:
        Counts `(classes, classes)`; rows are the truth, columns the prediction.
    """
    images = cifar_batches.all_images(split)
    predictions = model.predict(images, verbose=0).argmax(-1)
    return tf.math.confusion_matrix(split.labels, predictions, model.classes).numpy()


def report(matrix: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Returns accuracy, error and the recall of each class as plain numbers."""
    correct, images = np.diag(matrix), matrix.sum(1)
    accuracy = float(correct.sum() / images.sum())
    recall = {
        name: float(c / n) if n else None
        for name, c, n in zip(class_names, correct, images, strict=True)
    }
    return {"accuracy": accuracy, "error": 1 - accuracy, "recall": recall}
