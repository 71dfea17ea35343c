"""Masks, overlays, curves and tables as pictures."""

import colorcet
import matplotlib
import numpy as np
from PIL import Image

from keras_encnet.utils.files import atomic_file

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Patch

IGNORED_COLOR = (255, 255, 255)


def palette(classes):
    """Returns `classes` colors that are easy to tell apart: uint8 `(classes, 3)`."""
    colors = np.array(colorcet.glasbey_hv) * 255
    return np.resize(colors.round(), (classes, 3)).astype("uint8")


def color(mask, classes):
    """Paints a mask `(height, width)`; ids that are no class turn white."""
    colors = np.vstack([palette(classes), IGNORED_COLOR]).astype("uint8")
    return colors[np.where((mask >= 0) & (mask < classes), mask, classes)]


def overlay(image, mask, classes, opacity=0.55):
    """Lays the painted mask over its image; both `(height, width)`, the image uint8 RGB."""
    mixed = (1 - opacity) * image + opacity * color(mask, classes)
    return mixed.round().astype("uint8")


def save_indexed(path, mask, classes):
    """Writes a mask as PNG whose pixels are the class ids, colored by a palette.

    Above 256 classes, where PNG has no palettes, as 16-bit gray.
    """
    if classes <= 256:
        picture = Image.fromarray(mask.astype("uint8"), "P")
        picture.putpalette(palette(classes).tobytes())
    else:
        picture = Image.fromarray(mask.astype("uint16"))
    with atomic_file(path) as temporary:
        picture.save(temporary)


def save_overlay(path, image, mask, class_names):
    """Writes the overlay of one image with a legend of the classes in it."""
    height, width = mask.shape
    size = (max(width, 120) / 100 + 1.8, max(height, 120) / 100 + 0.2)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.imshow(overlay(image, mask, len(class_names)))
    axis.axis("off")
    _legend(axis, np.unique(mask), class_names, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save(figure, path)


def save_comparison(path, rows, columns, class_names):
    """Writes a page: a row an image, beside it its truth and the predictions.

    Args:
        path: of the PNG.
        rows: list of tuples: the image, uint8 RGB, then masks of its size.
        columns: titles, one for each part of a row.
        class_names: one name per class.
    """
    height, width = rows[0][0].shape[:2]
    scale = 2.6 / max(width, 1) if width >= height else 2.0 / height
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(len(columns) * width * scale, len(rows) * height * scale + 0.9),
        squeeze=False,
        layout="constrained",
    )
    for line, row in zip(axes, rows, strict=True):
        for axis, part in zip(line, row, strict=True):
            axis.imshow(part if part.ndim == 3 else color(part, len(class_names)))
            axis.axis("off")
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=9)
    shown = np.unique(np.concatenate([mask.ravel() for row in rows for mask in row[1:]]))
    _legend(figure, shown, class_names, loc="outside lower center", ncols=8)
    save(figure, path)


def save_curves(path, history):
    """Writes the course of a run: losses on the left, scores on the right.

    Args:
        path: of the PNG.
        history: dict of lists, one value an epoch, as `fit` returns it.
    """
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    names = sorted({name.removeprefix("val_") for name in history} - {"learning_rate", "seconds"})
    colors = {name: f"C{i}" for i, name in enumerate(names)}
    for name, values in history.items():
        base = name.removeprefix("val_")
        if base not in colors:
            continue
        axis = losses if "loss" in base else scores
        line = "-" if base == name else "--"  # validation has its training's color, dashed
        axis.plot(range(1, len(values) + 1), values, line, color=colors[base], label=name)
    for axis, title in ((losses, "loss"), (scores, "score")):
        axis.set(xlabel="epoch", title=title)
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=7)
    scores.set_ylim(0, 1)
    save(figure, path)


def save_sweeps(path, curves, names):
    """Writes scores over the values of one option each, as the paper's Figure 6 does.

    Args:
        path: of the PNG.
        curves: dict from options to a dict from their values, numbers or
            words, to lists, one a score, of its values in 0 to 1, one a seed.
        names: of the scores, in percent; the first belongs to the left axis.
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
            reach = [means - [v.min() for v in seeds], [v.max() for v in seeds] - means]
            style = {"fmt": "o-" if number == 0 else "s--", "capsize": 3, "color": f"C{number}"}
            # Side by side, so that the bars of one don't cover those of the other.
            axis.errorbar(np.array(ticks) + 0.08 * number - 0.04, means, reach, **style)
            axis.set_ylabel(name, color=f"C{number}")
        panel.grid(alpha=0.3)
    save(figure, path)


def save_diagnostics(path, runs):
    """Writes what codewords, gates and presence did in some trainings, and their scores over time.

    Args:
        path: of the PNG.
        runs: dict from names to results of `training.research.rank_heads`: `diagnostics`, one dict
            per look; `val_mean_iou`, a value an epoch; `seconds`, in all.
    """
    panels = {
        "live codewords": "context_encoding/live_codewords",
        "entropy of the assignment (1: even)": "context_encoding/assignment_entropy",
        "a gate's spread over images": "context_attention/gate_spread_images",
        "a gate's mean": "context_attention/gate_mean",
        "SE-loss (dotted: base rates)": "presence/se_loss",
    }
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
    for number, (run, result) in enumerate(runs.items()):
        looks, style = result["diagnostics"], {"color": f"C{number}", "label": run}
        steps = [look["step"] for look in looks]
        for axis, (title, name) in zip(axes.flat, panels.items(), strict=False):
            axis.plot(steps, [look[name] for look in looks], **style)
            axis.set(title=title, xlabel="step")
        scores = result["val_mean_iou"]
        seconds = result["seconds"] * np.arange(1, len(scores) + 1) / len(scores)
        axes.flat[-1].plot(seconds, 100 * np.array(scores), "o-", **style)
    base = [look["presence/base_rate_loss"] for look in looks]
    axes.flat[4].plot(steps, base, ":", color="black")
    axes.flat[-1].set(title="mIoU %", xlabel="seconds")
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    for axis in axes.flat[:-1]:
        axis.set_ylim(bottom=0)
    axes.flat[0].legend()
    save(figure, path)


def save_confusion_matrix(path, matrix, class_names):
    """Writes a confusion matrix, each row (the truth) as shares of its sum."""
    matrix = np.asarray(matrix, "float64")
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = max(4, 0.32 * len(class_names) + 2)
    figure, axis = plt.subplots(figsize=(side + 1, side), layout="constrained")
    picture = axis.imshow(shares, cmap="viridis", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axis.set_xticks(ticks, class_names, rotation=90, fontsize=8)
    axis.set_yticks(ticks, class_names, fontsize=8)
    axis.set(xlabel="prediction", ylabel="truth")
    figure.colorbar(picture, ax=axis, label="share of the truth")
    save(figure, path)


def _legend(place, ids, class_names, **options):
    colors = palette(len(class_names)) / 255
    patches = [
        Patch(facecolor=colors[i], label=class_names[i]) for i in ids if 0 <= i < len(class_names)
    ]
    place.legend(handles=patches, fontsize=8, frameon=False, **options)


def save(figure, path):
    """Writes a Matplotlib figure atomically and closes it."""
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
