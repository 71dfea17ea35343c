"""Dice loss."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_encnet.losses.mask_loss import ImageLoss


@keras.saving.register_keras_serializable(package="keras_encnet")
class DiceLoss(ImageLoss):
    """One minus the soft Dice coefficient of each class, averaged over classes and images.

    With the probabilities `p` of a class and its one-hot label `g`, the loss of a class in an
    image is

        1 - 2 * sum(p * g) / (sum(p ** 2) + sum(g ** 2))

    where the sums are over the labeled pixels of the image. The loss of an image is the mean over
    the classes that have labeled pixels in it: for others the coefficient is 0 whatever is
    predicted. The loss of a batch is the mean over its images across all replicas, without those
    that have no labeled pixels.

    Example:

    >>> import numpy as np
    >>> mask = np.array([[[0, 1, 255]]])
    >>> logits = np.array([[[[2.0, 2.0], [0.0, 9.0], [9.0, 0.0]]]])
    >>> round(float(DiceLoss()(mask, logits)), 4)
    0.1556

    Args:
        ignore_class: Integer or sequence of integers, labels ignored in the loss.
        class_weights: Sequence of one float per class, which weights the mean over the classes,
            or None.
        name: String, name of the loss.

    Call arguments:
        y_true: Integers `(batch, height, width)`.
        y_pred: Logits `(batch, height, width, classes)`.
        sample_weight: Floats `(batch,)`, which multiply the losses of the images, or None.

    Raises:
        InvalidArgumentError: When called with an id that is neither a class nor ignored.

    References:
        - [V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
          Segmentation](https://arxiv.org/abs/1606.04797), section 3
    """

    def __init__(
        self,
        ignore_class: int | Sequence[int] = 255,
        class_weights: Sequence[float] | None = None,
        name: str = "dice_loss",
    ):
        super().__init__(ignore_class, class_weights, name)

    def class_losses(self, truth: tf.Tensor, predicted: tf.Tensor, labeled: tf.Tensor) -> tf.Tensor:
        overlap = tf.reduce_sum(truth * predicted, (1, 2))
        total = tf.reduce_sum(truth**2 + predicted**2, (1, 2))
        return 1 - tf.math.divide_no_nan(2 * overlap, total)
