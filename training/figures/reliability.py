"""Reliability diagrams: how often what is predicted with a probability is true."""

import os
from collections.abc import Mapping, Sequence

from matplotlib import pyplot as plt

from training.figures.saving import save_figure


def save_reliability(
    path: str | os.PathLike, bins: Mapping[str, Sequence[float]], error: float
) -> None:
    """Writes a reliability diagram of predicted presence: points on the diagonal are calibrated.

    Args:
        path: the PNG file.
        bins: `probability`, `frequency` and `count`, see `keras_encnet.metrics.reliability`.
        error: the expected calibration error, for the title.
    """
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(5, 6), height_ratios=(3, 1), sharex=True, layout="constrained"
    )
    upper.plot((0, 1), (0, 1), "--", color="gray")
    upper.plot(bins["probability"], bins["frequency"], "o-")
    upper.set(
        title=f"presence, expected calibration error {error:.1%}",
        ylabel="frequency of presence",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    lower.bar(bins["probability"], bins["count"], width=0.03)
    lower.set(xlabel="predicted probability of presence", ylabel="predictions", yscale="log")
    for axis in (upper, lower):
        axis.grid(alpha=0.3)
    save_figure(path, figure)
