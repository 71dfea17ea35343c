"""Scores of masks and of presence."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_encnet.masks import ignored_labels, labeled_pixels
from keras_encnet.utils.numerics import sigmoid

ABSENT_CLASSES = ("exclude", "zero")


@keras.saving.register_keras_serializable(package="keras_encnet")
class SegmentationMetrics(keras.metrics.Metric):
    """Pixel accuracy, IoU, F1, precision and recall from one confusion matrix.

    The matrix is summed over all batches and replicas before the scores are computed, so they
    are the scores of the whole dataset. `result` returns:

    - `pixel_accuracy`: the share of labeled pixels that are predicted correctly.
    - `mean_iou`: the mean over the classes of the IoU, `tp / (tp + fp + fn)`, where `tp` is the
      number of pixels labeled and predicted as the class, `fp` that of pixels only predicted as
      it, and `fn` that of pixels only labeled so.
    - `frequency_weighted_iou`: the mean of the IoU weighted by the labeled pixels of each class.
    - `mean_f1`: the mean over the classes of F1, `2 * tp / (2 * tp + fp + fn)`, which equals the
      Dice coefficient.
    - `ade_score`: the mean of `pixel_accuracy` and `mean_iou`.

    Example:

    >>> metric = SegmentationMetrics(classes=3)
    >>> metric.update_state([[[0, 1, 1, 255]]], [[[0, 1, 0, 2]]])
    >>> scores = {name: round(float(value), 3) for name, value in metric.result().items()}
    >>> scores["pixel_accuracy"], scores["mean_iou"], scores["mean_f1"]
    (0.667, 0.5, 0.667)
    >>> metric.per_class_iou().tolist()
    [0.5, 0.5, nan]

    Args:
        classes: Integer, number of classes.
        ignore_class: Integer or sequence of integers, labels ignored in the metrics.
        absent_classes: `"exclude"` leaves classes that occur neither in the masks nor in the
            predictions out of the mean; `"zero"` counts them with an IoU of 0, as the official
            code does.
        name: String, name of the metric.

    Call arguments:
        y_true: Integers `(batch, height, width)`.
        y_pred: Logits `(batch, height, width, classes)`, or class ids of the shape of `y_true`.
        sample_weight: Must be None.

    Raises:
        ValueError: If `absent_classes` is unknown, or if called with `sample_weight`.

    References:
        - [Fully Convolutional Networks for Semantic Segmentation](
          https://arxiv.org/abs/1411.4038), section 5, for accuracy and both means of the IoU
        - The ADE20K score is the mean of pixel accuracy and mean IoU
          (sceneparsing's README).
    """

    def __init__(
        self,
        classes: int,
        ignore_class: int | Sequence[int] = 255,
        absent_classes: str = "exclude",
        name: str = "segmentation_metrics",
        dtype: str | None = None,
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
        # Rows are the labels, columns the predictions. int64 counts exactly up to 9e18.
        self.confusion_matrix = self.add_variable(
            (classes, classes), initializer="zeros", name="confusion_matrix", dtype="int64"
        )

    def update_state(
        self,
        y_true: tf.Tensor | np.ndarray,
        y_pred: tf.Tensor | np.ndarray,
        sample_weight: None = None,
    ) -> None:
        if sample_weight is not None:
            raise ValueError(
                "`SegmentationMetrics` does not support weights. Give pixels an ignored label to "
                "leave them out, and pass the metric in `metrics`, not in `weighted_metrics`. "
                f"Received: sample_weight of shape {tuple(np.shape(sample_weight))}"
            )
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        if len(y_pred.shape) == len(y_true.shape) + 1:
            y_pred = tf.argmax(y_pred, -1, tf.int32)
        labels, labeled = labeled_pixels(y_true, self.classes, self.ignore_class)
        # On ignored pixels any prediction is allowed, elsewhere only classes.
        predicted, _ = labeled_pixels(
            tf.where(labeled, tf.cast(y_pred, tf.int32), 0), self.classes, ()
        )
        counts = tf.math.unsorted_segment_sum(
            tf.cast(labeled, tf.int64),
            labels * self.classes + predicted,
            num_segments=self.classes**2,
        )
        self.confusion_matrix.assign_add(tf.reshape(counts, (self.classes, self.classes)))

    def result(self) -> dict[str, tf.Tensor]:
        matrix = tf.cast(self.confusion_matrix.value, self.dtype)
        correct = tf.linalg.diag_part(matrix)
        labeled, predicted = tf.reduce_sum(matrix, 1), tf.reduce_sum(matrix, 0)
        union = labeled + predicted - correct
        iou = tf.math.divide_no_nan(correct, union)
        f1 = tf.math.divide_no_nan(2 * correct, labeled + predicted)
        occurs = tf.cast(union > 0, self.dtype)
        if self.absent_classes == "zero":
            occurs = tf.ones_like(occurs)
        classes = tf.reduce_sum(occurs)
        pixels = tf.reduce_sum(labeled)
        accuracy = tf.math.divide_no_nan(tf.reduce_sum(correct), pixels)
        mean_iou = tf.math.divide_no_nan(tf.reduce_sum(iou), classes)
        return {
            "pixel_accuracy": accuracy,
            "mean_iou": mean_iou,
            "frequency_weighted_iou": tf.math.divide_no_nan(tf.reduce_sum(labeled * iou), pixels),
            "mean_f1": tf.math.divide_no_nan(tf.reduce_sum(f1), classes),
            "ade_score": (accuracy + mean_iou) / 2,
        }

    def per_class_iou(self) -> np.ndarray:
        """Returns the IoU per class, NaN for classes in neither masks nor predictions."""
        correct, labeled, predicted = self._counts()
        return _ratio(correct, labeled + predicted - correct, labeled + predicted)

    def per_class_f1(self) -> np.ndarray:
        """Returns F1 per class, NaN for classes in neither masks nor predictions."""
        correct, labeled, predicted = self._counts()
        return _ratio(2 * correct, labeled + predicted, labeled + predicted)

    def per_class_precision(self) -> np.ndarray:
        """Returns which share of the pixels predicted as each class is labeled so.

        0 for a class in masks that is never predicted, NaN for one in neither.
        """
        correct, labeled, predicted = self._counts()
        return _ratio(correct, predicted, labeled + predicted)

    def per_class_recall(self) -> np.ndarray:
        """Returns which share of the pixels labeled as each class is predicted so.

        0 for a predicted class that is in no mask, NaN for one in neither.
        """
        correct, labeled, predicted = self._counts()
        return _ratio(correct, labeled, labeled + predicted)

    def _counts(self):
        """Returns correct, labeled and predicted pixels of each class."""
        matrix = np.asarray(self.confusion_matrix, "float64")
        return np.diag(matrix), matrix.sum(1), matrix.sum(0)

    def mean_iou_with_background(self) -> float:
        """Returns the mean IoU over the classes and a background class with an IoU of 0.

        This is the published score on PASCAL-Context with 60 classes. A model of the 59 classes
        cannot predict the background, whose pixels are ignored, so it scores 0; predictions on
        these pixels count against no class.

        >>> metric = SegmentationMetrics(classes=2)
        >>> metric.update_state([[[0, 1]]], [[[0, 1]]])
        >>> round(metric.mean_iou_with_background(), 3)
        0.667
        """
        iou = self.per_class_iou()
        counted = len(iou) if self.absent_classes == "zero" else np.count_nonzero(~np.isnan(iou))
        return float(np.nansum(iou) / (counted + 1))

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "dtype": self.dtype,
            "classes": self.classes,
            "ignore_class": list(self.ignore_class),
            "absent_classes": self.absent_classes,
        }


def _ratio(numerator, denominator, occurrences):
    """Divides counts: 0 for a denominator of 0, NaN for a class that does not occur."""
    ratio = np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)
    return np.where(occurrences > 0, ratio, np.nan)


def presence_scores(presence: ArrayLike, logits: ArrayLike) -> dict[str, float]:
    """Scores the presence branch, compared with constant predictions.

    Example:

    >>> presence = [[True, False], [True, True], [False, True], [False, True]]
    >>> logits = [[2.0, -1.0], [2.0, 1.0], [-2.0, 1.0], [-2.0, -1.0]]
    >>> for name, score in presence_scores(presence, logits).items():
    ...     print(f"{name} {score:.3f}")
    se_loss 0.345
    base_rate_loss 0.628
    average_precision 0.958
    calibration_error 0.185

    Args:
        presence: Booleans `(images, classes)`, see `keras_encnet.losses.class_presence`.
        logits: Floats `(images, classes)`.

    Returns:
        Dict of floats: `se_loss`, the binary cross-entropy; `base_rate_loss`, the binary
        cross-entropy of predicting for each class the fraction of these images that show it;
        `average_precision`, the mean from 0 to 1 over the classes that at least one image shows,
        NaN if there are none; `calibration_error`, the expected calibration error from 0 to 1,
        see `reliability`.
    """
    presence, logits = np.asarray(presence, bool), np.asarray(logits, "float64")
    bins = reliability(presence, logits)
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
        "calibration_error": float(
            np.average(np.abs(bins["probability"] - bins["frequency"]), weights=bins["count"])
        ),
    }


def reliability(presence: ArrayLike, logits: ArrayLike, bins: int = 10) -> dict[str, np.ndarray]:
    """Compares predicted probabilities of presence with how often the classes are present.

    The predictions for all images and classes are divided into bins of equal width. The expected
    calibration error is the mean difference between `probability` and `frequency`, weighted by
    `count`.

    Example:

    >>> found = reliability([[True, False], [True, True]], [[2.0, -2.0], [2.0, 2.0]])
    >>> {name: values.round(2).tolist() for name, values in found.items()}
    {'probability': [0.12, 0.88], 'frequency': [0.0, 1.0], 'count': [1, 3]}

    Args:
        presence: Booleans `(images, classes)`.
        logits: Floats `(images, classes)`.
        bins: Integer, number of bins from 0 to 1.

    Returns:
        Dict of arrays with one value for each bin that is not empty: `probability`, the mean of
        the predictions; `frequency`, the fraction of these for which the class is present; and
        `count`, the number of predictions.

    References:
        - [On Calibration of Modern Neural Networks](https://arxiv.org/abs/1706.04599), section 2
    """
    present = np.ravel(np.asarray(presence, bool))
    probabilities = np.ravel(sigmoid(logits))
    index = np.digitize(probabilities, np.arange(1, bins) / bins)  # NaN belongs to the last
    counts = np.bincount(index, minlength=bins)
    filled = counts > 0
    sums = (np.bincount(index, weights, bins)[filled] for weights in (probabilities, present))
    probability, frequency = (total / counts[filled] for total in sums)
    return {"probability": probability, "frequency": frequency, "count": counts[filled]}


def _average_precision(truth, scores):
    """Returns the mean, over the images that show the class, of the precision at each of them.

    Images with equal scores are ranked together, since their order is arbitrary.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of each score
    hits = np.cumsum(truth[order])[last]
    precision = hits / (last + 1)
    return np.sum(precision * np.diff(hits, prepend=0)) / hits[-1]
