"""Cross-entropy of each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_encnet.losses.mask_loss import MaskLoss, share_of_mean
from keras_encnet.utils.checks import Range


@keras.saving.register_keras_serializable(package="keras_encnet")
class PixelCrossEntropy(MaskLoss):
    """Cross-entropy of each pixel's logits, averaged over the labeled pixels.

    The mean is over the labeled pixels of the whole batch, across all replicas of a
    `tf.distribute` strategy, so that N devices compute what one device computes. The loss of a
    batch without labeled pixels is 0.

    Example:

    >>> import numpy as np
    >>> mask = np.array([[[0, 255]]])
    >>> logits = np.array([[[[2.0, 2.0], [9.0, 0.0]]]])
    >>> round(float(PixelCrossEntropy()(mask, logits)), 4)
    0.6931

    Args:
        ignore_class: Integer or sequence of integers, labels ignored in the loss.
        class_weights: Sequence of one float per class, which weights the mean, or None.
        label_smoothing: Float from 0 to 1, the part of the target that is spread evenly over all
            classes; the rest is that of the label. Pixels are weighted by the class of the label.
        name: String, name of the loss.

    Call arguments:
        y_true: Integers `(batch, height, width)`.
        y_pred: Logits `(batch, height, width, classes)`.

    Raises:
        ValueError: If `label_smoothing` is out of range.
        InvalidArgumentError: When called with an id that is neither a class nor ignored.

    References:
        - [Rethinking the Inception Architecture for Computer Vision](
          https://arxiv.org/abs/1512.00567), section 7, for label smoothing
    """

    def __init__(
        self,
        ignore_class: int | Sequence[int] = 255,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        name: str = "pixel_cross_entropy",
    ):
        super().__init__(ignore_class, class_weights, name)
        if label_smoothing not in Range(0, 1):
            raise ValueError(
                "`label_smoothing` must be from 0 to 1. "
                f"Received: label_smoothing={label_smoothing!r}"
            )
        self.label_smoothing = float(label_smoothing)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        labels, weights = self.pixel_weights(y_true, y_pred)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=y_pred)
        if self.label_smoothing:
            of_all_classes = -tf.reduce_mean(tf.nn.log_softmax(y_pred), -1)
            entropy += self.label_smoothing * (of_all_classes - entropy)
        return share_of_mean(entropy, weights)

    def get_config(self) -> dict:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
