"""Scores of masks as plain numbers and as text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tabulate

import keras_encnet
from training.tasks.boundary_scores import BoundaryIoU

# Scores per class of `SegmentationMetrics`, and the columns of all of them in the table.
PER_CLASS = ("iou", "f1", "precision", "recall")
COLUMNS = {
    "iou": "IoU %",
    "f1": "F1 %",
    "precision": "precision %",
    "recall": "recall %",
    "boundary_iou": "boundary IoU %",
}


def report(
    metric: keras_encnet.SegmentationMetrics,
    class_names: Sequence[str],
    presence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns all scores as plain numbers: overall, per class and of the presence branch."""
    scores: dict[str, Any] = {k: float(v) for k, v in metric.result().items()}
    per_class = {name: getattr(metric, f"per_class_{name}")() for name in PER_CLASS}
    for name in ("precision", "recall"):
        scores[f"mean_{name}"] = mean_over_classes(per_class[name], metric.absent_classes)
    for name, values in per_class.items():
        scores[name] = by_class(values, class_names)
    return scores if presence is None else {**scores, "presence": presence}


def boundary_report(
    boundary: BoundaryIoU, class_names: Sequence[str], absent_classes: str
) -> dict[str, Any]:
    """Returns boundary IoU as plain numbers: its mean, per class, and the width of boundaries."""
    values = boundary.per_class()
    return {
        "mean_boundary_iou": mean_over_classes(values, absent_classes),
        "boundary_iou": by_class(values, class_names),
        "boundary_ratio": boundary.ratio,
    }


def mean_over_classes(values: np.ndarray, absent_classes: str) -> float:
    """Returns the mean of a score per class, without NaN or, for `"zero"`, with 0 for it."""
    counted = values[~np.isnan(values)] if absent_classes == "exclude" else values
    return float(np.nansum(counted) / max(len(counted), 1))


def by_class(values: np.ndarray, class_names: Sequence[str]) -> dict[str, float | None]:
    """Returns one number per class by its name, None for NaN."""
    pairs = zip(class_names, values.tolist(), strict=True)
    return {name: None if np.isnan(value) else value for name, value in pairs}


def table(scores: Mapping[str, Any]) -> str:
    """Returns scores as text, with one row per class."""
    columns = {name: title for name, title in COLUMNS.items() if name in scores}
    rows = [
        (name, *(None if scores[c][name] is None else 100 * scores[c][name] for c in columns))
        for name in scores["iou"]
    ]
    classes = tabulate.tabulate(
        rows, ("class", *columns.values()), floatfmt=".1f", missingval="absent"
    )
    summary = (
        f"pixel accuracy {100 * scores['pixel_accuracy']:.1f} %   "
        f"mean IoU {100 * scores['mean_iou']:.1f} %   "
        f"ADE score {100 * scores['ade_score']:.1f} %\n"
        f"frequency-weighted IoU {100 * scores['frequency_weighted_iou']:.1f} %   "
        f"mean F1 {100 * scores['mean_f1']:.1f} %   "
        f"precision {100 * scores['mean_precision']:.1f} %   "
        f"recall {100 * scores['mean_recall']:.1f} %"
    )
    if "mean_boundary_iou" in scores:
        summary += f"   boundary IoU {100 * scores['mean_boundary_iou']:.1f} %"
    if "mean_iou_with_background" in scores:
        summary += f"   with background {100 * scores['mean_iou_with_background']:.1f} %"
    if "presence" in scores:
        presence = scores["presence"]
        summary += (
            f"\npresence: average precision {100 * presence['average_precision']:.1f} %   "
            f"SE-loss {presence['se_loss']:.3f} (base rates {presence['base_rate_loss']:.3f})   "
            f"expected calibration error {100 * presence['calibration_error']:.1f} %"
        )
    return f"{classes}\n\n{summary}"
