"""Codes, gates and presence of several views of the same images."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot as plt

from keras_encnet.utils.numerics import sigmoid
from training.figures.saving import save_figure


def save_views(path: str | os.PathLike, views: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes a figure with one panel each for codes, gates and presence.

    Codes are projected onto the two principal axes of those of all views. Gates are means over
    images, in ascending order of the first view. Presence is the mean predicted probability of each
    class over the share of views in which it is present; points on the diagonal are calibrated.

    Args:
        path: the PNG file.
        views: for each view `code`, `gates`, `presence` (logits) and `truth`, with one row per
            image.
    """
    figure, (codes, gates, presence) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    together = np.concatenate([seen["code"] for seen in views.values()])
    center = together.mean(axis=0)
    axes = np.linalg.svd(together - center, full_matrices=False)[2][:2]
    order = np.argsort(next(iter(views.values()))["gates"].mean(axis=0))
    presence.plot((0, 1), (0, 1), "--", color="gray")
    for name, seen in views.items():
        codes.plot(*((seen["code"] - center) @ axes.T).T, ".", alpha=0.6, label=name)
        gates.plot(seen["gates"].mean(axis=0)[order], ".", markersize=3, label=name)
        probability = sigmoid(seen["presence"]).mean(axis=0)
        presence.plot(seen["truth"].mean(axis=0), probability, "o", alpha=0.7, label=name)
    codes.set(title="codes", xlabel="first principal axis", ylabel="second principal axis")
    gates.set(title="gates", xlabel="channel", ylabel="mean over images")
    presence.set(
        title="presence, one point per class",
        xlabel="share of images in which it is present",
        ylabel="mean predicted probability",
    )
    for axis in (codes, gates, presence):
        axis.grid(alpha=0.3)
        axis.legend()
    save_figure(path, figure)
