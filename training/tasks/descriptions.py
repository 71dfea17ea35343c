"""What a prediction says about an image: the classes in it, with their share and presence."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Least share of the mask with which a class contradicts the prediction that it is absent.
VISIBLE = 0.01


def describe(
    mask: np.ndarray, class_names: Sequence[str], presence: np.ndarray | None = None
) -> dict[str, Any]:
    """Describes the prediction for an image.

    Args:
        mask: class ids `(height, width)`.
        class_names: one name per class.
        presence: the probability that each class is present, `(classes,)`, if the model predicts
            it.

    Returns:
        `shares`, the fraction of each class in the mask, in descending order; and, with
        `presence`, `presence`, the probability of presence of the classes in the mask and of those
        that are probably present without a pixel, which are listed in `without_pixels`; and
        `contradictions`, the classes with at least one percent of the mask that are probably
        absent.
    """
    counts = np.bincount(mask.ravel(), minlength=len(class_names))
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    description: dict[str, Any] = {"shares": {class_names[i]: counts[i] / mask.size for i in order}}
    if presence is not None:
        without = [i for i in np.argsort(-presence) if presence[i] > 0.5 and not counts[i]]
        contradictions = [
            i for i in order if presence[i] <= 0.5 and counts[i] >= VISIBLE * mask.size
        ]
        description["presence"] = {class_names[i]: float(presence[i]) for i in order + without}
        description["without_pixels"] = [class_names[i] for i in without]
        description["contradictions"] = [class_names[i] for i in contradictions]
    return description


def sentence(description: Mapping[str, Any]) -> str:
    """Returns what `describe` returns as one line."""
    presence = description.get("presence", {})

    def of_class(name, share):
        text = f"{name} {share:.1%}"
        if name not in presence:
            return text
        contradiction = ", which contradicts the mask" * (name in description["contradictions"])
        return f"{text} (presence {presence[name]:.0%}{contradiction})"

    line = ", ".join(of_class(name, share) for name, share in description["shares"].items())
    without = [f"{k} (presence {presence[k]:.0%})" for k in description.get("without_pixels", ())]
    return f"{line}; probably present without a pixel: {', '.join(without)}" if without else line
