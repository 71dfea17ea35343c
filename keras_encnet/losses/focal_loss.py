"""Focal loss."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_encnet.losses.mask_loss import MaskLoss, share_of_mean
from keras_encnet.utils.checks import Range


@keras.saving.register_keras_serializable(package="keras_encnet")
class FocalLoss(MaskLoss):
    """Cross-entropy that gives less weight to pixels that are classified well.

    With the probability `p` of a pixel's label, its loss is `-(1 - p) ** gamma * log(p)`. The
    mean is over the labeled pixels of the whole batch, across all replicas, as of
    `PixelCrossEntropy`, which is the focal loss with `gamma=0`. The paper's factor alpha of each
    class is `class_weights`.

    Example:

    >>> import numpy as np
    >>> mask = np.array([[[0, 255]]])
    >>> logits = np.array([[[[2.0, 2.0], [9.0, 0.0]]]])
    >>> round(float(FocalLoss(gamma=2.0)(mask, logits)), 4)  # log(2) / 4
    0.1733

    Args:
        ignore_class: Integer or sequence of integers, labels ignored in the loss.
        class_weights: Sequence of one float per class, which weights the mean, or None.
        gamma: Float of at least 0, the focusing parameter.
        name: String, name of the loss.

    Call arguments:
        y_true: Integers `(batch, height, width)`.
        y_pred: Logits `(batch, height, width, classes)`.

    Raises:
        ValueError: If `gamma` is negative.
        InvalidArgumentError: When called with an id that is neither a class nor ignored.

    References:
        - [Focal Loss for Dense Object Detection](https://arxiv.org/abs/1708.02002), section 3
    """

    def __init__(
        self,
        ignore_class: int | Sequence[int] = 255,
        class_weights: Sequence[float] | None = None,
        gamma: float = 2.0,
        name: str = "focal_loss",
    ):
        super().__init__(ignore_class, class_weights, name)
        if gamma not in Range(0):
            raise ValueError(f"`gamma` must be at least 0. Received: gamma={gamma!r}")
        self.gamma = float(gamma)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        labels, weights = self.pixel_weights(y_true, y_pred)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=y_pred)
        # 1 - p as -expm1(log p): exact for small errors. The power of 0 has no finite gradient
        # for gamma < 1.
        error = tf.maximum(-tf.math.expm1(-entropy), keras.config.epsilon())
        return share_of_mean(error**self.gamma * entropy, weights)

    def get_config(self) -> dict:
        return {**super().get_config(), "gamma": self.gamma}
