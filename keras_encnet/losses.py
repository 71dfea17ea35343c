"""The losses of EncNet, computed from logits and the mask."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.masks import ignored_labels, labeled_pixels
from keras_encnet.metrics import SegmentationMetrics


class _MaskLoss(keras.losses.Loss):
    """A loss computed from logits and a mask of class ids.

    Subclasses return terms of the mean, so the reduction is a sum, and weights per image or per
    pixel multiply the terms.
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
        if self.class_weights and min(self.class_weights) < 0:
            raise ValueError(
                "`class_weights` must not be negative. "
                f"Received: class_weights={self.class_weights}"
            )

    def weight_tensor(self, classes: int, dtype: str = "float32") -> tf.Tensor | None:
        """Returns the class weights as a tensor, or None if there are none.

        Raises:
            ValueError: If there is not one weight per class.
        """
        if self.class_weights is None:
            return None
        if len(self.class_weights) != classes:
            raise ValueError(
                f"`class_weights` must hold one weight for each of the {classes} classes. "
                f"Received: {len(self.class_weights)} weights"
            )
        return tf.constant(self.class_weights, dtype)

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "ignore_class": list(self.ignore_class),
            "class_weights": self.class_weights,
        }


@keras.saving.register_keras_serializable(package="keras_encnet")
class PixelCrossEntropy(_MaskLoss):
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
        name: String, name of the loss.

    Call arguments:
        y_true: Integers `(batch, height, width)`.
        y_pred: Logits `(batch, height, width, classes)`.

    Raises:
        InvalidArgumentError: When called with an id that is neither a class nor ignored.
    """

    def __init__(
        self,
        ignore_class: int | Sequence[int] = 255,
        class_weights: Sequence[float] | None = None,
        name: str = "pixel_cross_entropy",
    ):
        super().__init__(ignore_class, class_weights, name)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        classes = y_pred.shape[-1]
        labels, labeled = labeled_pixels(y_true, classes, self.ignore_class)
        weights = tf.cast(labeled, y_pred.dtype)
        class_weights = self.weight_tensor(classes, y_pred.dtype)
        if class_weights is not None:
            weights *= tf.gather(class_weights, labels)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=y_pred)
        return share_of_mean(entropy, weights)


@keras.saving.register_keras_serializable(package="keras_encnet")
class SELoss(_MaskLoss):
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


def share_of_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns terms whose sum over all replicas is the weighted mean of `values`.

    A sum, since Keras sums the gradients of the replicas.
    """
    total = tf.reduce_sum(weights)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        total = replica.all_reduce("sum", total)
    return tf.math.divide_no_nan(values * weights, total)


def objectives(
    model: keras.Model,
    ignore_class: int | Sequence[int] = 255,
    se_weight: float = 0.2,
    auxiliary_weight: float = 0.2,
    class_weights: Sequence[float] | None = None,
    absent_classes: str = "exclude",
) -> dict:
    """Returns the losses, their weights and the metrics for training on images and masks.

    Example:

    >>> from keras_encnet import FCN
    >>> from keras_encnet.backbones import ResNet18
    >>> model = FCN(ResNet18(), classes=21)
    >>> model.compile("sgd", **objectives(model, ignore_class=255))

    Args:
        model: Model of this package, or any model with outputs of the same names.
        ignore_class: Integer or sequence of integers, labels ignored in losses and metrics.
        se_weight: Float, weight of the SE-loss of each branch: 0.2 in the paper, which compares
            0 to 0.8. With 0, the branches are not trained.
        auxiliary_weight: Float, weight of the auxiliary head on stage 3: 0.2 in the official
            training script, 0.4 in mmsegmentation.
        class_weights: Sequence of one float per class, for all losses, or None.
        absent_classes: `"exclude"` or `"zero"`, the score of classes that do not occur, see
            `SegmentationMetrics`.

    Returns:
        Dict of the arguments `loss`, `loss_weights` and `metrics` of `compile`.

    Raises:
        ValueError: If a weight is negative, if there is not one class weight per class, or if
            the model has no output `segmentation`.
    """
    if "segmentation" not in model.output:
        raise ValueError(
            "Expected a model with the output `segmentation`. "
            f"Received: outputs={sorted(model.output)}"
        )
    for argument, value in (("se_weight", se_weight), ("auxiliary_weight", auxiliary_weight)):
        if value < 0:
            raise ValueError(f"`{argument}` must not be negative. Received: {argument}={value}")
    losses, weights = {}, {}
    for name in model.output:
        if name.startswith("segmentation"):
            losses[name] = PixelCrossEntropy(ignore_class, class_weights)
            weights[name] = 1.0 if name == "segmentation" else auxiliary_weight
        else:
            losses[name] = SELoss(ignore_class, class_weights)
            weights[name] = se_weight
    classes = model.output["segmentation"].shape[-1]
    losses["segmentation"].weight_tensor(classes)  # raises before training
    metrics = {"segmentation": SegmentationMetrics(classes, ignore_class, absent_classes)}
    return {"loss": losses, "loss_weights": weights, "metrics": metrics}
