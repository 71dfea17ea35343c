"""Confusion matrices as figures."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt

from training.figures.saving import save_figure


def save_confusion_matrix(
    path: str | os.PathLike, matrix: np.ndarray, class_names: Sequence[str]
) -> None:
    """Writes a confusion matrix, each row (the truth) as fractions of its sum.

    Args:
        path: the PNG file.
        matrix: counts `(classes, classes)`; rows are the truth, columns the prediction.
        class_names: one name per class.
    """
    matrix = np.asarray(matrix, "float64")
    fractions = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = max(4, 0.32 * len(class_names) + 2)
    figure, axis = plt.subplots(figsize=(side + 1, side), layout="constrained")
    image = axis.imshow(fractions, cmap="viridis", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axis.set_xticks(ticks, class_names, rotation=90, fontsize=8)
    axis.set_yticks(ticks, class_names, fontsize=8)
    axis.set(xlabel="prediction", ylabel="truth")
    figure.colorbar(image, ax=axis, label="fraction of the true class")
    save_figure(path, figure)
