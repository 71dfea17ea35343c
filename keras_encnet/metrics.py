"""Pixel accuracy and mean IoU, from one confusion matrix."""

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.masks import ignored_labels, labeled_pixels

ABSENT_CLASSES = ("exclude", "zero")


@keras.saving.register_keras_serializable(package="keras_encnet")
class SegmentationMetrics(keras.metrics.Metric):
    """Pixel accuracy, mean IoU and the ADE20K score, from one confusion matrix.

    The matrix is summed over all batches and replicas before anything is
    divided, so the scores are those of the whole data set.

    Example:

    >>> metric = SegmentationMetrics(classes=3)
    >>> metric.update_state([[[0, 1, 1, 255]]], [[[0, 1, 0, 2]]])
    >>> {name: round(float(value), 3) for name, value in metric.result().items()}
    {'pixel_accuracy': 0.667, 'mean_iou': 0.5, 'ade_score': 0.583}
    >>> metric.per_class_iou().tolist()
    [0.5, 0.5, nan]

    Args:
        classes: number of classes.
        ignore_class: the label, or labels, that count nowhere.
        absent_classes: what a class scores that neither truth nor prediction has:
            `"exclude"` leaves it out of the mean, `"zero"` counts it as 0 (the
            released code).
        name: name of the metric.

    Call arguments:
        y_true: integers `(batch, height, width)`.
        y_pred: logits `(batch, height, width, classes)`, or class ids of the
            mask's shape.
        sample_weight: None; pixels are counted, void ones are not.

    Raises:
        ValueError: for another `absent_classes`, or for weights.

    References:
        - The ADE20K score is the mean of pixel accuracy and mean IoU
          (sceneparsing's README).
    """

    def __init__(
        self,
        classes,
        ignore_class=255,
        absent_classes="exclude",
        name="segmentation_metrics",
        dtype=None,
    ):
        if absent_classes not in ABSENT_CLASSES:
            raise ValueError(
                f"`absent_classes` must be one of {ABSENT_CLASSES}. "
                f"Received: absent_classes={absent_classes!r}"
            )
        super().__init__(name=name, dtype=dtype)
        self.classes = classes
        self.ignore_class = ignored_labels(ignore_class)
        self.absent_classes = absent_classes
        # Rows are the truth, columns the prediction. Integers count to 9e18 without loss.
        self.confusion_matrix = self.add_variable(
            (classes, classes), initializer="zeros", name="confusion_matrix", dtype="int64"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            raise ValueError(
                "`SegmentationMetrics` counts each pixel once: leave pixels out by labelling them "
                "void, and name it among `metrics`, not `weighted_metrics`. Received: "
                f"sample_weight of shape {tuple(np.shape(sample_weight))}"
            )
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        if len(y_pred.shape) == len(y_true.shape) + 1:
            y_pred = tf.argmax(y_pred, -1, tf.int32)
        labels, labeled = labeled_pixels(y_true, self.classes, self.ignore_class)
        # Predictions may be anything on void pixels; elsewhere they have no void.
        predicted, _ = labeled_pixels(
            tf.where(labeled, tf.cast(y_pred, tf.int32), 0), self.classes, ()
        )
        counts = tf.math.unsorted_segment_sum(
            tf.cast(labeled, tf.int64),
            labels * self.classes + predicted,
            num_segments=self.classes**2,
        )
        self.confusion_matrix.assign_add(tf.reshape(counts, (self.classes, self.classes)))

    def result(self):
        matrix = tf.cast(self.confusion_matrix.value, self.dtype)
        correct = tf.linalg.diag_part(matrix)
        accuracy = tf.math.divide_no_nan(tf.reduce_sum(correct), tf.reduce_sum(matrix))
        union = tf.reduce_sum(matrix, 0) + tf.reduce_sum(matrix, 1) - correct
        iou = tf.math.divide_no_nan(correct, union)
        counted = (
            tf.cast(union > 0, self.dtype)
            if self.absent_classes == "exclude"
            else tf.ones_like(iou)
        )
        mean_iou = tf.math.divide_no_nan(tf.reduce_sum(iou), tf.reduce_sum(counted))
        return {
            "pixel_accuracy": accuracy,
            "mean_iou": mean_iou,
            "ade_score": (accuracy + mean_iou) / 2,
        }

    def per_class_iou(self):
        """Returns each class's IoU as a NumPy array, NaN where truth and prediction lack it."""
        matrix = np.asarray(self.confusion_matrix, "float64")
        correct = np.diag(matrix)
        union = matrix.sum(0) + matrix.sum(1) - correct
        return np.divide(correct, union, out=np.full(len(union), np.nan), where=union > 0)

    def mean_iou_with_background(self):
        """Returns the mean IoU over the classes and one more that is wholly missed.

        The published number of PASCAL-Context over 60 classes: a model of its
        59 can't name the background, which is void in the masks, so it scores
        0. What the model says there counts against no class, though.

        >>> metric = SegmentationMetrics(classes=2)
        >>> metric.update_state([[[0, 1]]], [[[0, 1]]])
        >>> round(metric.mean_iou_with_background(), 3)
        0.667
        """
        iou = self.per_class_iou()
        counted = len(iou) if self.absent_classes == "zero" else np.count_nonzero(~np.isnan(iou))
        return float(np.nansum(iou) / (counted + 1))

    def get_config(self):
        return {
            "name": self.name,
            "dtype": self.dtype,
            "classes": self.classes,
            "ignore_class": list(self.ignore_class),
            "absent_classes": self.absent_classes,
        }


def presence_scores(presence, logits):
    """Scores the presence branch beside what knowing nothing of the image would score.

    Example:

    >>> presence = [[True, False], [True, True], [False, True], [False, True]]
    >>> logits = [[2.0, -1.0], [2.0, 1.0], [-2.0, 1.0], [-2.0, -1.0]]
    >>> {name: round(score, 3) for name, score in presence_scores(presence, logits).items()}
    {'se_loss': 0.345, 'base_rate_loss': 0.628, 'average_precision': 0.958}

    Args:
        presence: booleans `(images, classes)`, see `keras_encnet.losses.class_presence`.
        logits: floats `(images, classes)`.

    Returns:
        Dict of floats: `se_loss`, the binary cross-entropy; `base_rate_loss`,
        that of predicting for each class the share of these images which show
        it; `average_precision`, 0 to 1, the mean over the classes that some
        image shows, NaN if there is none.
    """
    presence, logits = np.asarray(presence, bool), np.asarray(logits, "float64")
    rates = presence.mean(0).clip(1e-12, 1 - 1e-12)
    precisions = [
        _average_precision(truth, scores)
        for truth, scores in zip(presence.T, logits.T, strict=True)
        if truth.any()
    ]
    return {
        "se_loss": float(np.mean(np.logaddexp(0, logits) - presence * logits)),
        "base_rate_loss": float(np.mean(-rates * np.log(rates) - (1 - rates) * np.log1p(-rates))),
        "average_precision": float(np.mean(precisions)) if precisions else np.nan,
    }


def _average_precision(truth, scores):
    """The mean, over the images that show the class, of the precision down to each.

    Images of one score come in together: their order would be chance.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of each score
    shown = np.cumsum(truth[order])[last]
    precision = shown / (last + 1)
    return np.sum(precision * np.diff(shown, prepend=0)) / shown[-1]
