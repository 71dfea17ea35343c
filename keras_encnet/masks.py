"""Masks of class ids: ignored labels, checks, and the targets that outputs derive from a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

_WRONG_SIZE = (
    "The mask must have the height and width of the images. Make sure that none of them is "
    "transposed or resized. Received: mask.shape={}, images.shape={}"
)
_WRONG_IDS = (
    "The mask must hold class ids from 0 to {} or ignored labels. Map other ids to classes, or add "
    "them to `ignore_class`. Received: ids={}, ignore_class={}"
)
# Number of wrong ids that a message names.
_NAMED = 10


def ignored_labels(ignore_class: int | Sequence[int]) -> tuple[int, ...]:
    """Returns the label or labels in `ignore_class` as a tuple of integers.

    Everything that takes an `ignore_class` passes it through here.

    >>> ignored_labels(255), ignored_labels([254, 255])
    ((255,), (254, 255))
    """
    labels = np.atleast_1d(ignore_class).tolist()
    if not all(isinstance(label, int) for label in labels):
        raise ValueError(
            "`ignore_class` must be an integer or a sequence of integers. "
            f"Received: ignore_class={ignore_class!r}"
        )
    return tuple(labels)


def labeled_pixels(
    mask: tf.Tensor | np.ndarray, classes: int, ignore_class: int | Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits a mask into class ids and a map of the labeled pixels.

    Args:
        mask: Integers of any shape.
        classes: Integer, number of classes.
        ignore_class: Integer or sequence of integers, the ignored labels.

    Returns:
        Class ids as int32, 0 for ignored pixels, and booleans, false for ignored pixels. Both
        have the shape of `mask`.

    Raises:
        InvalidArgumentError: If an id is neither a class nor ignored.
    """
    wide, labeled = _split(mask, ignore_class)
    valid = ~labeled | ((wide >= 0) & (wide < classes))
    labels = tf.cast(tf.where(labeled & valid, wide, 0), tf.int32)
    tf.debugging.Assert(
        tf.reduce_all(valid),
        [
            f"The mask must hold class ids from 0 to {classes - 1} or ignored labels "
            f"{ignored_labels(ignore_class)}. Received: ids from",
            tf.reduce_min(tf.where(labeled, wide, 0)),
            "to",
            tf.reduce_max(tf.where(labeled, wide, 0)),
        ],
    )
    return labels, labeled


def _split(mask, ignore_class):
    """Returns a mask as int32, or as int64 if ids may not fit, and its labeled pixels."""
    mask = tf.convert_to_tensor(mask)
    labels = tf.cast(mask, tf.int64 if mask.dtype.size > 4 or mask.dtype == tf.uint32 else tf.int32)
    labeled = tf.ones_like(labels, tf.bool)
    for label in ignored_labels(ignore_class):
        labeled &= labels != label
    return labels, labeled


def check_mask(mask: tf.Tensor | np.ndarray | None) -> None:
    """Raises ValueError unless `mask` has the shape and dtype of a batch of masks."""
    shape = () if mask is None else tuple(mask.shape)
    if mask is None or len(shape) not in (3, 4) or shape[3:] not in ((), (1,)):
        raise ValueError(
            "The target must be a mask of class ids, `(batch, height, width)` or "
            f"`(batch, height, width, 1)`. Received: shape={mask if mask is None else shape}"
        )
    dtype = keras.backend.standardize_dtype(mask.dtype)
    if "int" not in dtype:
        raise ValueError(
            "The mask must hold integers, one class id per pixel. Make sure that it is not scaled "
            f"or interpolated, then cast it. Received: dtype={dtype}"
        )


def check_size(mask: Sequence[int | None], images: Sequence[int | None]) -> None:
    """Raises ValueError if the shape of a batch of masks contradicts that of its images."""
    if not tf.TensorShape(mask[:3]).is_compatible_with(images[:3]):
        raise ValueError(_WRONG_SIZE.format(tuple(mask), tuple(images)))


def check_ids(mask: np.ndarray, classes: int, ignore_class: int | Sequence[int]) -> None:
    """Raises ValueError unless every id of the array is a class or ignored."""
    outside = mask[(mask < 0) | (mask >= classes)]
    wrong = np.setdiff1d(outside, ignored_labels(ignore_class))
    if len(wrong):
        ids = wrong[:_NAMED].tolist()
        raise ValueError(_WRONG_IDS.format(classes - 1, ids, ignored_labels(ignore_class)))


def assert_size(mask: tf.Tensor, images: tf.Tensor) -> tf.Operation:
    """Returns an assertion that masks have the size of their images, as `check_size`.

    It also holds for masks of unknown rank, whose trailing axis of 1 is optional.
    """
    expected = tf.concat([tf.shape(images)[:3], [1]], 0)
    # With the trailing axis; fewer than three axes leave a -1, which equals nothing.
    received = tf.concat([tf.shape(mask), [1, -1, -1, -1]], 0)[:4]
    right = tf.reduce_all(received == expected) & (tf.rank(mask) <= 4)
    return _assertion(right, _WRONG_SIZE, lambda: [tf.shape(mask), tf.shape(images)])


def assert_ids(mask: tf.Tensor, classes: int, ignore_class: int | Sequence[int]) -> tf.Operation:
    """Returns an assertion that every id is a class or ignored, as `check_ids`."""
    labels, labeled = _split(tf.reshape(mask, (-1,)), ignore_class)
    wrong = labeled & ((labels < 0) | (labels >= classes))

    def received():
        ids, _ = tf.unique(tf.boolean_mask(labels, wrong))
        return [classes - 1, tf.sort(ids[:_NAMED]), ignored_labels(ignore_class)]

    return _assertion(~tf.reduce_any(wrong), _WRONG_IDS, received)


def _assertion(condition, message, received):
    """Returns an assertion whose message is computed only if it fails."""

    def fail():
        text = tf.strings.format(message, received(), summarize=_NAMED)
        with tf.control_dependencies([tf.debugging.Assert(False, [text])]):
            return tf.constant(False)

    return tf.cond(condition, lambda: tf.constant(True), fail).op


def targets_per_output(
    mask: tf.Tensor, y_pred: Mapping[str, tf.Tensor], sample_weight: tf.Tensor | None
) -> tuple[dict, dict | None]:
    """Returns the target and the weights of each output.

    The target of all outputs is the mask. Their losses derive what they need from it.

    Args:
        mask: Integers `(batch, height, width)` or `(batch, height, width, 1)`.
        y_pred: Dict of outputs; its key `"segmentation"` holds `(batch, height, width, classes)`.
        sample_weight: Weights per image or per pixel, or None.

    Returns:
        Dict of masks and dict of weights, with the keys of `y_pred`; None without weights.
    """
    if isinstance(mask, tf.Tensor) and mask.shape.rank is None:
        # One compiled step has received masks both with and without the trailing axis, or
        # `tf.data` has lost the shape. `assert_size` has compared them.
        mask = tf.reshape(mask, tf.shape(y_pred["segmentation"])[:3])
    check_mask(mask)
    if "segmentation" in y_pred:
        check_size(mask.shape, y_pred["segmentation"].shape)
    if len(mask.shape) == 4:
        mask = keras.ops.squeeze(mask, -1)
    if sample_weight is not None:
        sample_weight = _checked_weights(sample_weight)
        sample_weight = {name: _weights_of(name, sample_weight) for name in y_pred}
    return dict.fromkeys(y_pred, mask), sample_weight


def _checked_weights(sample_weight):
    """Returns weights per image or per pixel, without the trailing axis."""
    rank = tf.TensorShape(sample_weight.shape).rank
    if rank in (2, 4) and sample_weight.shape[-1] == 1:
        sample_weight, rank = keras.ops.squeeze(sample_weight, -1), rank - 1
    if rank not in (1, 3):
        raise ValueError(
            "`sample_weight` must hold weights per image, `(batch,)`, or per pixel, "
            "`(batch, height, width)`, each with or without a trailing axis of 1. To change from "
            "one to the other, compile the model again. "
            f"Received: sample_weight.shape={sample_weight.shape}"
        )
    return sample_weight


def _weights_of(output, sample_weight):
    """Returns the weights of one output; weights per pixel do not apply to outputs per image."""
    per_image = len(sample_weight.shape) == 1
    if output.startswith("segmentation"):
        return sample_weight[:, None, None] if per_image else sample_weight
    return sample_weight if per_image else None
