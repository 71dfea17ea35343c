"""Curves over epochs, steps and the values of an option."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt

from training.figures.saving import save_figure


def save_curves(path: str | os.PathLike, history: Mapping[str, Sequence[float]]) -> None:
    """Writes the training curves of a run: losses on the left, scores on the right.

    Args:
        path: the PNG file.
        history: one list per quantity with one value per epoch, as `fit` records it.
    """
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    names = sorted({name.removeprefix("val_") for name in history} - {"learning_rate", "seconds"})
    colors = {name: f"C{i}" for i, name in enumerate(names)}
    for name, values in history.items():
        base = name.removeprefix("val_")
        if base not in colors:
            continue
        axis = losses if "loss" in base else scores
        style = "-" if base == name else "--"  # validation: the same color, dashed
        axis.plot(range(1, len(values) + 1), values, style, color=colors[base], label=name)
    for axis, title in ((losses, "loss"), (scores, "score")):
        axis.set(xlabel="epoch", title=title)
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=7)
    scores.set_ylim(0, 1)
    save_figure(path, figure)


def save_sweeps(
    path: str | os.PathLike,
    curves: Mapping[str, Mapping[float | str, Sequence[Sequence[float]]]],
    names: Sequence[str],
) -> None:
    """Writes scores over the values of an option, one panel per option, as the paper's Figure 6.

    Args:
        path: the PNG file.
        curves: for each option and each of its values, numbers or words, one list per score
            with one value in 0 to 1 per seed.
        names: names of the two scores; the first belongs to the left axis.
    """
    figure, panels = plt.subplots(
        1, len(curves), figsize=(5 * len(curves), 4), squeeze=False, layout="constrained"
    )
    for panel, (option, points) in zip(panels[0], curves.items(), strict=True):
        ticks = range(len(points))
        panel.set(xlabel=option)
        panel.set_xticks(ticks, [v if isinstance(v, str) else f"{v:g}" for v in points])
        axes = [panel, panel.twinx()]
        for number, (axis, name) in enumerate(zip(axes, names, strict=True)):
            seeds = [100 * np.array(scores[number]) for scores in points.values()]
            means = np.array([values.mean() for values in seeds])
            spread = [means - [v.min() for v in seeds], [v.max() for v in seeds] - means]
            style = {"fmt": "o-" if number == 0 else "s--", "capsize": 3, "color": f"C{number}"}
            # A small offset, so that the error bars of the two scores do not overlap.
            axis.errorbar(np.array(ticks) + 0.08 * number - 0.04, means, spread, **style)
            axis.set_ylabel(name, color=f"C{number}")
        panel.grid(alpha=0.3)
    save_figure(path, figure)


def save_range_test(
    path: str | os.PathLike,
    rates: Sequence[float],
    losses: Sequence[float],
    averages: Sequence[float],
    suggestion: float | None,
) -> None:
    """Writes the loss over the learning rate of a range test.

    Args:
        path: the PNG file.
        rates: learning rates of the steps.
        losses: losses of the steps.
        averages: smoothed losses.
        suggestion: the suggested learning rate, or None.
    """
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    axis.plot(rates, losses, ".", color="C0", alpha=0.4, label="loss")
    axis.plot(rates, averages, color="C0", label="smoothed loss")
    if suggestion is not None:
        axis.axvline(suggestion, color="C1", label=f"suggestion: {suggestion:.2g}")
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
    axis.grid(alpha=0.3)
    axis.legend()
    save_figure(path, figure)


# Panels of `save_diagnostics`: title and name in `keras_encnet.callbacks.ContextDiagnostics`.
DIAGNOSTICS = {
    "live codewords": "context_encoding/live_codewords",
    "entropy of the assignment (1: uniform)": "context_encoding/assignment_entropy",
    "spread of a gate over images": "context_attention/gate_spread_images",
    "mean of the gates": "context_attention/gate_mean",
    "SE-loss (dotted: base rates)": "presence/se_loss",
}


def save_diagnostics(path: str | os.PathLike, runs: Mapping[str, Mapping]) -> None:
    """Writes how codewords, gates, presence and the score of some runs develop.

    Args:
        path: the PNG file.
        runs: results of `training.research.rank_heads` by name, with `diagnostics`, the history
            of `ContextDiagnostics`; `val_mean_iou`, one value per epoch; and `seconds` in total.
    """
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
    *panels, score_axis = axes.flat
    for number, (run, result) in enumerate(runs.items()):
        diagnostics, style = result["diagnostics"], {"color": f"C{number}", "label": run}
        steps = [values["step"] for values in diagnostics]
        for axis, (title, name) in zip(panels, DIAGNOSTICS.items(), strict=True):
            axis.plot(steps, [values[name] for values in diagnostics], **style)
            axis.set(title=title, xlabel="step")
        scores = 100 * np.array(result["val_mean_iou"])
        seconds = result["seconds"] * np.arange(1, len(scores) + 1) / len(scores)
        score_axis.plot(seconds, scores, "o-", **style)
    base_rates = [values["presence/base_rate_loss"] for values in diagnostics]
    panels[-1].plot(steps, base_rates, ":", color="black")
    score_axis.set(title="mIoU %", xlabel="seconds")
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    for axis in panels:
        axis.set_ylim(bottom=0)
    panels[0].legend()
    save_figure(path, figure)
