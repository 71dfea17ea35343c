"""Cross-entropy with online hard example mining."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_encnet.losses.mask_loss import MaskLoss, share_of_mean
from keras_encnet.masks import labeled_pixels
from keras_encnet.utils.checks import Range, is_count


@keras.saving.register_keras_serializable(package="keras_encnet")
class OHEMCrossEntropy(MaskLoss):
    """Cross-entropy of the hard pixels (online hard example mining, OHEM).

    The labeled pixels whose label has a probability below `threshold` are kept; of an image with
    too few of them, the pixels with the lowest probabilities. The loss is the mean over the kept
    pixels of the whole batch, across all replicas. The minimum holds for each image, so that the
    selection does not depend on which images share a batch or a device.

    Example:

    >>> import numpy as np
    >>> mask = np.array([[[0, 0, 255]]])
    >>> logits = np.array([[[[2.0, 2.0], [9.0, 0.0], [0.0, 9.0]]]])
    >>> round(float(OHEMCrossEntropy(threshold=0.7)(mask, logits)), 4)
    0.6931

    Args:
        ignore_class: Integer or sequence of integers, labels ignored in the loss.
        class_weights: Sequence of one float per class, which weights the mean, or None.
        threshold: Float from 0 to 1. Pixels whose label has a lower probability are kept.
        min_kept: Minimum to keep of each image: as a float from 0 to 1, a share of its labeled
            pixels, rounded; as an integer, a number of pixels. If several pixels have the
            probability of the last one, all of them are kept.
        name: String, name of the loss.

    Call arguments:
        y_true: Integers `(batch, height, width)`.
        y_pred: Logits `(batch, height, width, classes)`.

    Raises:
        ValueError: If `threshold` or `min_kept` are out of range.
        InvalidArgumentError: When called with an id that is neither a class nor ignored.

    References:
        - [Training Region-based Object Detectors with Online Hard Example
          Mining](https://arxiv.org/abs/1604.03540), for regions
        - [High-performance Semantic Segmentation Using Very Deep Fully Convolutional
          Networks](https://arxiv.org/abs/1604.04339), section 3.2: for pixels, with a threshold
          and a minimum
    """

    def __init__(
        self,
        ignore_class: int | Sequence[int] = 255,
        class_weights: Sequence[float] | None = None,
        threshold: float = 0.7,
        min_kept: float | int = 0.1,
        name: str = "ohem_cross_entropy",
    ):
        super().__init__(ignore_class, class_weights, name)
        if threshold not in Range(0, 1):
            raise ValueError(f"`threshold` must be from 0 to 1. Received: threshold={threshold!r}")
        is_share = isinstance(min_kept, float) and min_kept in Range(0, 1)
        if not is_share and not is_count(min_kept, least=0):
            raise ValueError(
                "`min_kept` must be a float from 0 to 1, a share of the pixels of an image, or an "
                f"integer of at least 0, their number. Received: min_kept={min_kept!r}"
            )
        self.threshold = float(threshold)
        self.min_kept = min_kept

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        labels, weights = self.pixel_weights(y_true, y_pred)
        _, labeled = labeled_pixels(y_true, y_pred.shape[-1], self.ignore_class)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=y_pred)
        hard = entropy > -tf.math.log(tf.constant(self.threshold, entropy.dtype))
        kept = labeled & (hard | (entropy >= self._least_entropy(entropy, labeled)))
        return share_of_mean(entropy, weights * tf.cast(kept, weights.dtype))

    def _least_entropy(self, entropy, labeled):
        """Returns the least entropy of the minimum to keep of each image, `(batch, 1, 1)`."""
        batch = tf.shape(entropy)[0]
        labeled = tf.reshape(labeled, (batch, -1))
        entropy = tf.where(labeled, tf.reshape(tf.stop_gradient(entropy), (batch, -1)), -1)
        count = tf.reduce_sum(tf.cast(labeled, tf.int32), -1)
        if isinstance(self.min_kept, float):
            kept = tf.cast(tf.round(self.min_kept * tf.cast(count, tf.float64)), tf.int32)
        else:
            kept = tf.minimum(self.min_kept, count)
        in_order = tf.sort(entropy, direction="DESCENDING")
        least = tf.gather(in_order, tf.maximum(kept - 1, 0), axis=-1, batch_dims=1)
        return tf.where(kept > 0, least, entropy.dtype.max)[:, None, None]

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "min_kept": self.min_kept,
        }
