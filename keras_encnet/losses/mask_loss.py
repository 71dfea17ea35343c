"""The base of all losses: ignored labels, class weights, and means over all replicas."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.masks import ignored_labels, labeled_pixels


class MaskLoss(keras.losses.Loss):
    """A loss computed from logits and a mask of class ids.

    `call` of a subclass returns terms whose sum over the images of all replicas of a
    `tf.distribute` strategy is the loss, see `share_of_mean`, so that N devices compute what one
    device computes. Weights per image or per pixel multiply the terms. Logits are cast to
    `keras.config.floatx()`, also in mixed precision.

    Args:
        ignore_class: Integer or sequence of integers, labels ignored in the loss.
        class_weights: Sequence of one float per class, or None.
        name: String, name of the loss.

    Raises:
        ValueError: If a class weight is negative or not finite.
    """

    def __init__(
        self,
        ignore_class: int | Sequence[int] = 255,
        class_weights: Sequence[float] | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name, reduction="sum")
        self.ignore_class = ignored_labels(ignore_class)
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        if not all(0 <= weight < np.inf for weight in self.class_weights or ()):
            raise ValueError(
                "`class_weights` must be finite and must not be negative. "
                f"Received: class_weights={self.class_weights}"
            )

    def weight_tensor(self, classes: int, dtype: str = "float32") -> tf.Tensor | None:
        """Returns the class weights as a tensor, or None if there are none.

        Raises:
            ValueError: If there is not one weight per class.
        """
        self.check_class_weights(classes)
        return None if self.class_weights is None else tf.constant(self.class_weights, dtype)

    def check_class_weights(self, classes: int) -> None:
        """Raises ValueError if there are class weights, but not one per class."""
        if self.class_weights is not None and len(self.class_weights) != classes:
            raise ValueError(
                f"`class_weights` must hold one weight for each of the {classes} classes. "
                f"Received: {len(self.class_weights)} weights"
            )

    def pixel_weights(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the class id of each pixel and its weight, 0 for ignored pixels.

        Args:
            y_true: Integers `(batch, height, width)`.
            y_pred: Logits `(batch, height, width, classes)`.

        Returns:
            Integers and floats, `(batch, height, width)`.
        """
        classes = y_pred.shape[-1]
        labels, labeled = labeled_pixels(y_true, classes, self.ignore_class)
        weights = tf.cast(labeled, y_pred.dtype)
        class_weights = self.weight_tensor(classes, y_pred.dtype)
        if class_weights is not None:
            weights *= tf.gather(class_weights, labels)
        return labels, weights

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "ignore_class": list(self.ignore_class),
            "class_weights": self.class_weights,
        }


class ImageLoss(MaskLoss, abc.ABC):
    """The base of losses of overlap, which are computed for each class of each image.

    The loss of an image is the mean over the classes that have labeled pixels in it, weighted by
    `class_weights`; the loss of a batch is the mean over the images with such classes, across all
    replicas. Subclasses implement `class_losses`.
    """

    def __call__(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        if sample_weight is not None:
            sample_weight = _weights_per_image(sample_weight)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        classes, dtype = y_pred.shape[-1], y_pred.dtype
        labels, labeled = labeled_pixels(y_true, classes, self.ignore_class)
        labeled = tf.cast(labeled, dtype)[..., None]
        truth = tf.one_hot(labels, classes, dtype=dtype) * labeled
        # Ignored pixels have neither a label nor a probability, and therefore no error.
        predicted = tf.nn.softmax(y_pred) * labeled
        losses = self.class_losses(truth, predicted, labeled)
        counted = tf.cast(tf.reduce_any(truth > 0, (1, 2)), dtype)
        class_weights = self.weight_tensor(classes, dtype)
        if class_weights is not None:
            counted *= class_weights
        total = tf.reduce_sum(counted, -1)
        of_images = tf.math.divide_no_nan(tf.reduce_sum(losses * counted, -1), total)
        return share_of_mean(of_images, tf.cast(total > 0, dtype))

    @abc.abstractmethod
    def class_losses(self, truth: tf.Tensor, predicted: tf.Tensor, labeled: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each class in each image.

        Args:
            truth: Floats `(batch, height, width, classes)`, 1 for the label of a pixel, otherwise
                0; 0 for ignored pixels.
            predicted: Floats of the same shape, probabilities; 0 for ignored pixels.
            labeled: Floats `(batch, height, width, 1)`, 0 for ignored pixels, otherwise 1.

        Returns:
            Floats `(batch, classes)`. Those of classes without labeled pixels are left out.
        """


def _weights_per_image(weights):
    """Returns weights per image as `(batch,)`."""
    shape = tuple(weights.shape)
    if any(side != 1 for side in shape[1:]):
        raise ValueError(
            "A loss of the overlap of classes takes weights per image, `(batch,)`. Give pixels an "
            f"ignored label to leave them out. Received: sample_weight.shape={shape}"
        )
    return tf.reshape(weights, (-1,))


def share_of_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns terms whose sum over all replicas is the weighted mean of `values`.

    A sum, since Keras sums the gradients of the replicas.

    >>> share_of_mean(tf.constant([1.0, 5.0]), tf.constant([3.0, 1.0])).numpy().tolist()
    [0.75, 1.25]

    Args:
        values: Floats.
        weights: Floats of the same shape. The terms are 0 if their sum over all replicas is.
    """
    total = tf.reduce_sum(weights)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        total = replica.all_reduce("sum", total)
    return tf.math.divide_no_nan(values * weights, total)
