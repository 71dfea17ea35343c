"""From logits to answers."""

import numpy as np

from keras_encnet.utils.checks import check_count


def decode_predictions(logits, top=5, class_names=None):
    """Names the classes that cover most of each image.

    Example:

    >>> logits = np.zeros((1, 2, 2, 3))
    >>> logits[0, 0, 0, 1] = 9.0
    >>> decode_predictions(logits, class_names=["sky", "tree", "road"])
    [[('sky', 0.75), ('tree', 0.25)]]

    Args:
        logits: `(batch, height, width, classes)`.
        top: at most so many classes an image, at least 1.
        class_names: one name per class; the ids as text by default.

    Returns:
        For each image a list of (name, share of its pixels), largest first,
        without the classes that cover none.

    Raises:
        ValueError: for another shape, another `top`, or a wrong number of names.
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
            f"`class_names` must hold one name for each of {classes} classes. "
            f"Received: {len(names)} names"
        )
    return [_shares(mask, names)[:top] for mask in logits.argmax(-1)]


def _shares(mask, names):
    shares = np.bincount(mask.ravel(), minlength=len(names)) / mask.size
    return [(names[i], float(shares[i])) for i in np.argsort(-shares, kind="stable") if shares[i]]
