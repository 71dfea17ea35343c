"""Lovász-Softmax loss."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_encnet.losses.mask_loss import ImageLoss


@keras.saving.register_keras_serializable(package="keras_encnet")
class LovaszSoftmaxLoss(ImageLoss):
    """The Lovász extension of one minus the IoU of each class, averaged over classes and images.

    The error of a pixel for a class is the absolute difference between its probability and its
    one-hot label. The loss of a class in an image is the sum of the errors in descending order,
    each multiplied by the increase of one minus the IoU when its pixel is counted as wrong in
    addition to those before it. Where all probabilities are 0 or 1, it is one minus the IoU.

    As in `mean(classes present in the image)` of the authors' code with `per_image=True`, the
    loss of an image is the mean over the classes that have labeled pixels in it. The loss of a
    batch is the mean over its images across all replicas, without those that have no labeled
    pixels.

    The errors are sorted for each class and image, which takes time in proportion to the number of
    classes. The loss is often added to the cross-entropy, see `keras_encnet.losses.Sum`.

    Example:

    >>> import numpy as np
    >>> mask = np.array([[[0, 0, 1, 255]]])
    >>> logits = np.array([[[[99.0, 0.0], [0.0, 99.0], [0.0, 99.0], [9.0, 0.0]]]])
    >>> round(float(LovaszSoftmaxLoss()(mask, logits)), 4)  # the IoU of both classes is 1/2
    0.5

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
        - [The Lovász-Softmax loss](https://arxiv.org/abs/1705.08790), sections 2 and 3
    """

    def __init__(
        self,
        ignore_class: int | Sequence[int] = 255,
        class_weights: Sequence[float] | None = None,
        name: str = "lovasz_softmax_loss",
    ):
        super().__init__(ignore_class, class_weights, name)

    def class_losses(self, truth: tf.Tensor, predicted: tf.Tensor, labeled: tf.Tensor) -> tf.Tensor:
        # Ignored pixels come last, after errors of 0, and their error of 0 adds nothing.
        errors = _pixels_last(tf.abs(truth - predicted))
        order = tf.argsort(errors + _pixels_last(labeled - 1), direction="DESCENDING")
        errors, truth = (
            tf.gather(values, order, axis=-1, batch_dims=2)
            for values in (errors, _pixels_last(truth))
        )
        return tf.reduce_sum(errors * tf.stop_gradient(_increments(truth)), -1)


def _increments(truth):
    """Returns by how much one minus the IoU grows with each further wrong pixel.

    Args:
        truth: Floats `(..., pixels)`, whether each pixel has the class.
    """
    total = tf.reduce_sum(truth, -1, keepdims=True)
    intersection = total - tf.cumsum(truth, -1)
    union = total + tf.cumsum(1 - truth, -1)
    losses = 1 - tf.math.divide_no_nan(intersection, union)
    return losses - tf.pad(losses, [(0, 0), (0, 0), (1, 0)])[..., :-1]


def _pixels_last(values):
    """Reshapes `(batch, height, width, classes)` to `(batch, classes, height * width)`."""
    shape = tf.shape(values)
    pixels = tf.reshape(values, (shape[0], shape[1] * shape[2], values.shape[-1]))
    return tf.transpose(pixels, (0, 2, 1))
