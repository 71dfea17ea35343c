"""The losses of EncNet, from logits and the mask."""

import keras
import tensorflow as tf

from keras_encnet.masks import ignored_labels, labeled_pixels
from keras_encnet.metrics import SegmentationMetrics


class _MaskLoss(keras.losses.Loss):
    """A loss from logits and a mask of class ids, some of them void.

    Subclasses return terms that already are shares of the mean, so the
    reduction is a sum, and weights per sample or pixel apply as they are.
    """

    def __init__(self, ignore_class=255, class_weights=None, name=None):
        super().__init__(name=name, reduction="sum")
        self.ignore_class = ignored_labels(ignore_class)
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        if self.class_weights and min(self.class_weights) < 0:
            raise ValueError(
                "`class_weights` must not be negative. "
                f"Received: class_weights={self.class_weights}"
            )

    def weights_of(self, classes, dtype="float32"):
        """Returns the class weights as a tensor; None without. Raises unless they are as many."""
        if self.class_weights is None:
            return None
        if len(self.class_weights) != classes:
            raise ValueError(
                f"`class_weights` must hold one weight for each of {classes} classes. "
                f"Received: {len(self.class_weights)} weights"
            )
        return tf.constant(self.class_weights, dtype)

    def get_config(self):
        return {
            "name": self.name,
            "ignore_class": list(self.ignore_class),
            "class_weights": self.class_weights,
        }


@keras.saving.register_keras_serializable(package="keras_encnet")
class PixelCrossEntropy(_MaskLoss):
    """Cross-entropy of each pixel's logits, averaged over the labeled pixels.

    The average is over the pixels of the whole batch, on all replicas of a
    `tf.distribute` strategy together, so N devices compute what one would. A
    batch without a labeled pixel has loss 0.

    Example:

    >>> import numpy as np
    >>> mask = np.array([[[0, 255]]])
    >>> logits = np.array([[[[2.0, 2.0], [9.0, 0.0]]]])
    >>> round(float(PixelCrossEntropy()(mask, logits)), 4)
    0.6931

    Args:
        ignore_class: the label, or labels, that count nowhere.
        class_weights: one weight per class; the average is weighted by them.
        name: name of the loss.

    Call arguments:
        y_true: integers `(batch, height, width)`.
        y_pred: logits `(batch, height, width, classes)`.

    Raises:
        InvalidArgumentError: for an id that is neither a class nor void.
    """

    def __init__(self, ignore_class=255, class_weights=None, name="pixel_cross_entropy"):
        super().__init__(ignore_class, class_weights, name)

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        labels, labeled = labeled_pixels(y_true, classes, self.ignore_class)
        weights = tf.cast(labeled, y_pred.dtype)
        class_weights = self.weights_of(classes, y_pred.dtype)
        if class_weights is not None:
            weights *= tf.gather(class_weights, labels)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=y_pred)
        return share_of_mean(entropy, weights)


@keras.saving.register_keras_serializable(package="keras_encnet")
class SELoss(_MaskLoss):
    """The SE-loss: binary cross-entropy of which classes are in the image.

    The targets come from the mask: a class is present with one pixel or more.
    The average is over classes and over the images of the whole batch, on all
    replicas together. An image without a labeled pixel tells nothing about
    what it shows and counts nowhere (the released code takes it to show
    nothing).

    Args:
        ignore_class: the label, or labels, that count nowhere.
        class_weights: one factor per class, as the released code applies them.
        name: name of the loss.

    Call arguments:
        y_true: integers `(batch, height, width)`.
        y_pred: logits `(batch, classes)`.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904), 3.1
    """

    def __init__(self, ignore_class=255, class_weights=None, name="se_loss"):
        super().__init__(ignore_class, class_weights, name)

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        presence, told = class_presence(y_true, classes, self.ignore_class)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.cast(presence, y_pred.dtype), logits=y_pred
        )
        class_weights = self.weights_of(classes, y_pred.dtype)
        if class_weights is not None:
            entropy *= class_weights
        return share_of_mean(tf.reduce_mean(entropy, -1), tf.cast(told, y_pred.dtype))


def class_presence(mask, classes, ignore_class=255):
    """Tells which classes each mask shows.

    Example:

    >>> presence, told = class_presence([[[0, 2, 255]], [[255, 255, 255]]], classes=3)
    >>> presence.numpy().tolist()
    [[True, False, True], [False, False, False]]
    >>> told.numpy().tolist()
    [True, False]

    Args:
        mask: integers `(batch, height, width)`.
        classes: number of classes.
        ignore_class: the label, or labels, that count nowhere.

    Returns:
        Booleans `(batch, classes)`, and `(batch,)`: whether the mask has a
        labeled pixel at all.
    """
    labels, labeled = labeled_pixels(mask, classes, ignore_class)
    batch = tf.shape(labels)[0]
    index = tf.range(batch)[:, None, None] * classes + labels
    counts = tf.math.unsorted_segment_sum(
        tf.cast(labeled, tf.int32), index, num_segments=batch * classes
    )
    presence = tf.reshape(counts, (batch, classes)) > 0
    return presence, tf.reduce_any(presence, -1)


def share_of_mean(values, weights):
    """Returns terms that add up, over all replicas, to the weighted mean of `values`.

    Keras sums the replicas' gradients, and so their losses.
    """
    total = tf.reduce_sum(weights)
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        total = replica.all_reduce("sum", total)
    return tf.math.divide_no_nan(values * weights, total)


def objectives(
    model,
    ignore_class=255,
    se_weight=0.2,
    auxiliary_weight=0.2,
    class_weights=None,
    absent_classes="exclude",
):
    """Returns what `model.compile` needs to train on (image, mask).

    Example:

    >>> from keras_encnet import FCN
    >>> from keras_encnet.backbones import ResNet18
    >>> model = FCN(ResNet18(), classes=21)
    >>> model.compile("sgd", **objectives(model, ignore_class=255))

    Args:
        model: a model of this package, or any with outputs of those names.
        ignore_class: the label, or labels, that count nowhere.
        se_weight: weight of the SE-loss on each branch (the paper: 0.2, from
            0 to 0.8); 0 trains without it.
        auxiliary_weight: weight of the auxiliary mask on stage 3 (0.2 in the
            released training script, 0.4 in mmsegmentation).
        class_weights: one weight per class, for all losses.
        absent_classes: what a class that is nowhere scores, see `SegmentationMetrics`.

    Returns:
        A dict of `loss`, `loss_weights` and `metrics`.

    Raises:
        ValueError: for a negative weight, class weights that aren't as many as
            the classes, or a model without the output `segmentation`.
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
    losses["segmentation"].weights_of(classes)  # so that a wrong number is told before training
    metrics = {"segmentation": SegmentationMetrics(classes, ignore_class, absent_classes)}
    return {"loss": losses, "loss_weights": weights, "metrics": metrics}
