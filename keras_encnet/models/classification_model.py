"""The model class of the CIFAR networks: trains on images and labels, classifies images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_encnet.models.image_model import ImageModel
from keras_encnet.models.images import checked_batch
from keras_encnet.utils import compat


@keras.saving.register_keras_serializable(package="keras_encnet")
class ClassificationModel(ImageModel):
    """A functional model from images to logits or probabilities, `(batch, classes)`.

    In addition to `keras.Model`, it stores the names of its classes, and `fit`, `evaluate`,
    `predict` and `classify` check that images are raw, with values in 0 to 255; normalized, if it
    was built with `include_preprocessing=False`. `ResNet14`, `SEResNet14` and `EncNet14` return
    this class, and `keras.models.load_model` restores it.

    Args:
        inputs: Input tensor `(batch, height, width, channels)`.
        outputs: Output tensor `(batch, classes)`.
        name: String, name of the model.
        class_names: Sequence of one string per class, or None. Can be set later.
        classifier_activation: `"softmax"` if the output holds probabilities, None if it holds
            logits.
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: keras.KerasTensor,
        name: str | None = None,
        *,
        class_names: Sequence[str] | None = None,
        classifier_activation: str | None = None,
        **kwargs: Any,
    ):
        if classifier_activation is None:
            classifier_activation = compat.cloned_config(outputs).get("classifier_activation")
        super().__init__(inputs, outputs, name, class_names=class_names, **kwargs)
        self.classifier_activation = classifier_activation

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Predicts the probability of each class.

        Args:
            images: One image `(height, width, channels)` or a batch
                `(batch, height, width, channels)`; integers or floats in 0 to 255, or in the range
                of the `mean` and `std` that the model was built with. Normalized floats for one
                built with `include_preprocessing=False`.

        Returns:
            Probabilities as float32, `(classes,)` or `(batch, classes)`.

        Raises:
            ValueError: If shapes, dtypes or values are not those of such images.
        """
        outputs = self.predict(checked_batch(images, self.expected_images), verbose=0)
        if self.classifier_activation is None:
            outputs = np.asarray(keras.ops.softmax(outputs))
        return outputs[0] if np.ndim(images) == 3 else outputs

    def own_config(self) -> dict:
        return {**super().own_config(), "classifier_activation": self.classifier_activation}
