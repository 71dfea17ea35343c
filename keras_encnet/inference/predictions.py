"""Predictions as names of classes."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_encnet.utils.checks import check_count


def decode_predictions(
    logits: np.ndarray | tf.Tensor,
    top: int = 5,
    class_names: Sequence[str] | None = None,
) -> list[list[tuple[str, float]]]:
    """Returns the names of the classes that cover the largest parts of each image.

    Example:

    >>> logits = np.zeros((1, 2, 2, 3))
    >>> logits[0, 0, 0, 1] = 9.0
    >>> decode_predictions(logits, class_names=["sky", "tree", "road"])
    [[('sky', 0.75), ('tree', 0.25)]]

    Args:
        logits: `(batch, height, width, classes)`.
        top: maximum number of classes per image, at least 1.
        class_names: one name per class. Defaults to the class ids as text.

    Returns:
        One list per image of pairs (name, share of pixels), largest first. Classes without pixels
        are left out.

    Raises:
        ValueError: for logits of another rank, `top` below 1, or a wrong number of names.
    """
    check_count("top", top)
    logits = np.asarray(logits)
    if logits.ndim != 4:
        raise ValueError(
            "Expected logits `(batch, height, width, classes)`. "
            f"Received: logits.shape={logits.shape}"
        )
    classes = logits.shape[-1]
    names = [str(i) for i in range(classes)] if class_names is None else list(class_names)
    if len(names) != classes:
        raise ValueError(
            f"`class_names` must have one name for each of the {classes} classes. "
            f"Received: {len(names)} names"
        )
    return [_shares(mask, names)[:top] for mask in logits.argmax(-1)]


def _shares(mask, names):
    shares = np.bincount(mask.ravel(), minlength=len(names)) / mask.size
    return [(names[i], float(shares[i])) for i in np.argsort(-shares, kind="stable") if shares[i]]
