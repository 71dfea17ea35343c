"""Weighted sums of losses."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_encnet.losses.mask_loss import MaskLoss
from keras_encnet.utils.checks import Range


@keras.saving.register_keras_serializable(package="keras_encnet")
class Sum(keras.losses.Loss):
    """The weighted sum of losses of one output.

    Example:

    >>> from keras_encnet import DiceLoss, PixelCrossEntropy
    >>> loss = Sum([PixelCrossEntropy(), DiceLoss()], weights=[1.0, 0.5])

    Args:
        losses: Sequence of losses of this package, with the same ignored labels.
        weights: Sequence of one float per loss, by default 1.
        name: String, name of the loss.

    Call arguments:
        y_true: Integers `(batch, height, width)`.
        y_pred: Logits `(batch, height, width, classes)`.

    Raises:
        ValueError: If there is no loss, if something else is passed, if the ignored labels differ,
            or if there is not one finite weight of at least 0 per loss.
    """

    def __init__(
        self,
        losses: Sequence[MaskLoss],
        weights: Sequence[float] | None = None,
        name: str = "sum",
    ):
        super().__init__(name=name, reduction="sum")
        self.losses = [_checked_loss(loss) for loss in losses]
        labels = {tuple(sorted(loss.ignore_class)) for loss in self.losses}
        if len(labels) != 1:
            raise ValueError(
                "`losses` must be at least one loss, all with the same `ignore_class`. Received: "
                f"{len(self.losses)} losses, ignore_class={sorted(labels)}"
            )
        self.weights = [1.0] * len(self.losses) if weights is None else [float(w) for w in weights]
        in_range = all(w in Range(0) and w < float("inf") for w in self.weights)
        if len(self.weights) != len(self.losses) or not in_range:
            raise ValueError(
                f"`weights` must hold one finite number of at least 0 for each of the "
                f"{len(self.losses)} losses. Received: weights={self.weights}"
            )

    @property
    def ignore_class(self) -> tuple[int, ...]:
        """The ignored labels."""
        return self.losses[0].ignore_class

    def check_class_weights(self, classes: int) -> None:
        """Raises ValueError if a loss has class weights, but not one per class."""
        for loss in self.losses:
            loss.check_class_weights(classes)

    def __call__(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Tensor:
        # Not `call`: the terms of losses per pixel and per image differ in shape.
        terms = zip(self.weights, self.losses, strict=True)
        return tf.add_n([weight * loss(y_true, y_pred, sample_weight) for weight, loss in terms])

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "losses": [keras.losses.serialize(loss) for loss in self.losses],
            "weights": self.weights,
        }

    @classmethod
    def from_config(cls, config: dict) -> Sum:
        losses = [keras.losses.deserialize(loss) for loss in config["losses"]]
        return cls(**{**config, "losses": losses})


def _checked_loss(loss):
    if not isinstance(loss, MaskLoss):
        raise ValueError(
            "`losses` must be losses of this package, such as `keras_encnet.DiceLoss()`. "
            f"Received: {loss!r}"
        )
    return loss
