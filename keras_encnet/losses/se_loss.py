"""The SE-loss, and the presence of classes in masks."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.losses.mask_loss import MaskLoss, share_of_mean
from keras_encnet.masks import labeled_pixels


@keras.saving.register_keras_serializable(package="keras_encnet")
class SELoss(MaskLoss):
    """The SE-loss: binary cross-entropy of the presence of each class in the image.

    The targets are derived from the mask: a class is present if at least one pixel has it. The
    mean is over the classes and over the images of the whole batch, across all replicas. Images
    without labeled pixels are left out; the official code counts them as showing no class.

    Args:
        ignore_class: Integer or sequence of integers, labels ignored in the loss.
        class_weights: Sequence of one factor per class, applied as in the official code, or None.
        name: String, name of the loss.

    Call arguments:
        y_true: Integers `(batch, height, width)`.
        y_pred: Logits `(batch, classes)`.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904),
          section 3.1
    """

    def __init__(
        self,
        ignore_class: int | Sequence[int] = 255,
        class_weights: Sequence[float] | None = None,
        name: str = "se_loss",
    ):
        super().__init__(ignore_class, class_weights, name)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        classes = y_pred.shape[-1]
        presence, labeled = class_presence(y_true, classes, self.ignore_class)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.cast(presence, y_pred.dtype), logits=y_pred
        )
        class_weights = self.weight_tensor(classes, y_pred.dtype)
        if class_weights is not None:
            entropy *= class_weights
        return share_of_mean(tf.reduce_mean(entropy, -1), tf.cast(labeled, y_pred.dtype))


def class_presence(
    mask: tf.Tensor | np.ndarray, classes: int, ignore_class: int | Sequence[int] = 255
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns which classes are present in each mask.

    Example:

    >>> presence, labeled = class_presence([[[0, 2, 255]], [[255, 255, 255]]], classes=3)
    >>> presence.numpy().tolist()
    [[True, False, True], [False, False, False]]
    >>> labeled.numpy().tolist()
    [True, False]

    Args:
        mask: Integers `(batch, height, width)`.
        classes: Integer, number of classes.
        ignore_class: Integer or sequence of integers, the ignored labels.

    Returns:
        Booleans `(batch, classes)`, the presence of each class, and booleans `(batch,)`, whether
        the mask has any labeled pixel.
    """
    labels, labeled = labeled_pixels(mask, classes, ignore_class)
    batch = tf.shape(labels)[0]
    index = tf.range(batch)[:, None, None] * classes + labels
    counts = tf.math.unsorted_segment_sum(
        tf.cast(labeled, tf.int32), index, num_segments=batch * classes
    )
    presence = tf.reshape(counts, (batch, classes)) > 0
    return presence, tf.reduce_any(presence, -1)
