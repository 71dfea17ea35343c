"""Masks: ignored labels, and the one target of all outputs."""

import keras
import numpy as np
import tensorflow as tf


def ignored_labels(ignore_class):
    """Returns `ignore_class`, one label or several, as a tuple of integers."""
    return (
        (int(ignore_class),)
        if np.ndim(ignore_class) == 0
        else tuple(int(label) for label in ignore_class)
    )


def labeled_pixels(mask, classes, ignore_class):
    """Returns a mask's labels, 0 where void, and where it isn't void.

    Raises:
        InvalidArgumentError: for an id that is neither a class nor void.
    """
    labels = tf.cast(mask, tf.int32)
    labeled = tf.ones_like(labels, tf.bool)
    for label in ignored_labels(ignore_class):
        labeled &= labels != label
    labels = tf.where(labeled, labels, 0)
    tf.debugging.Assert(
        tf.reduce_all((labels >= 0) & (labels < classes)),
        [
            f"The mask has an id that is neither one of {classes} classes nor void "
            f"{ignored_labels(ignore_class)}. Received: ids from",
            tf.reduce_min(labels),
            "to",
            tf.reduce_max(labels),
        ],
    )
    return labels, labeled


def per_output(mask, y_pred, sample_weight):
    """Hands the mask to every output: the losses derive what they need from it."""
    if isinstance(mask, tf.Tensor) and mask.shape.rank is None:
        # One compiled step that has met masks with and without the trailing 1.
        mask = tf.reshape(mask, tf.shape(y_pred["segmentation"])[:3])
    check_mask(mask)
    if len(mask.shape) == 4:
        mask = keras.ops.squeeze(mask, -1)
    if sample_weight is not None:
        sample_weight = _checked_weights(sample_weight)
        sample_weight = {name: _weight_of(name, sample_weight) for name in y_pred}
    return dict.fromkeys(y_pred, mask), sample_weight


def check_mask(mask):
    """Raises ValueError unless `mask` has the shape and the dtype of a batch of masks."""
    shape = None if mask is None else tuple(mask.shape)
    if shape is None or len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] != 1):
        raise ValueError(
            "The target must be a mask of class ids, `(batch, height, width)`, a trailing 1 "
            f"allowed. Received: shape={shape}"
        )
    dtype = keras.backend.standardize_dtype(mask.dtype)
    if "int" not in dtype:
        raise ValueError(
            "The mask must hold integers, one class id a pixel; cast it, after making sure that "
            f"it isn't scaled or interpolated. Received: dtype={dtype}"
        )


def _checked_weights(sample_weight):
    """Returns weights without a trailing 1; raises unless they are per image or per pixel."""
    rank = tf.TensorShape(sample_weight.shape).rank
    if rank in (2, 4) and sample_weight.shape[-1] == 1:
        sample_weight, rank = keras.ops.squeeze(sample_weight, -1), rank - 1
    if rank not in (1, 3):
        raise ValueError(
            "Weights must be per image, `(batch,)`, or per pixel, `(batch, height, width)`, a "
            "trailing 1 allowed. To change from one to the other, compile the model again. "
            f"Received: sample_weight.shape={sample_weight.shape}"
        )
    return sample_weight


def _weight_of(output, sample_weight):
    """Weights are per image, or per pixel; the latter mean nothing to an output per image."""
    per_image = len(sample_weight.shape) == 1
    if output.startswith("segmentation"):
        return sample_weight[:, None, None] if per_image else sample_weight
    return sample_weight if per_image else None


def check_ids(mask, classes, ignore_class):
    """Raises ValueError unless every id of an array is a class or void."""
    ids = np.unique(mask)
    wrong = ids[((ids < 0) | (ids >= classes)) & ~np.isin(ids, ignore_class)]
    if len(wrong):
        raise ValueError(
            f"The mask has ids beyond the model's {classes} classes: map them to 0 to "
            f"{classes - 1}, or name them as void. Received: ids={wrong[:10].tolist()}, "
            f"ignore_class={ignore_class}"
        )


def check_element(classes, ignore_class, images, mask=None, *weights):
    """Asserts, in the data set, that a batch's masks are masks and their ids classes or void."""
    if mask is None:
        return (images,)
    if mask.shape.rank is not None:
        check_mask(mask)
    labeled_pixels(mask, classes, ignore_class)
    return images, mask, *weights
