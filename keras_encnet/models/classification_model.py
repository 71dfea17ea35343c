"""The model class of the CIFAR networks: trains on images and labels, classifies raw images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_encnet.models.image_model import ImageModel, check_raw
from keras_encnet.preprocessing import preprocess_input


@keras.saving.register_keras_serializable(package="keras_encnet")
class ClassificationModel(ImageModel):
    """A functional model from normalized images to logits or probabilities, `(batch, classes)`.

    In addition to `keras.Model`, it stores the normalization of its images, so that `classify`
    takes raw images, and the names of its classes. `ResNet14`, `SEResNet14` and `EncNet14` return
    this class, and `keras.models.load_model` restores it.

    Args:
        inputs: Input tensor `(batch, height, width, channels)`.
        outputs: Output tensor `(batch, classes)`.
        name: String, name of the model.
        preprocessing: String, mode of `keras_encnet.preprocess_input` for the images.
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
        preprocessing: str = "cifar10",
        class_names: Sequence[str] | None = None,
        classifier_activation: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            inputs,
            outputs,
            name,
            preprocessing=preprocessing,
            class_names=class_names,
            **kwargs,
        )
        self.classifier_activation = classifier_activation

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Predicts the probability of each class for raw images.

        Args:
            images: One RGB image `(height, width, 3)` or a batch `(batch, height, width, 3)`;
                integers or floats in 0 to 255.

        Returns:
            Probabilities as float32, `(classes,)` or `(batch, classes)`.

        Raises:
            ValueError: If shapes, dtypes or values are not those of raw images.
        """
        images = np.asarray(images)
        check_raw(images)
        batch = images[None] if images.ndim == 3 else images
        outputs = self.predict(preprocess_input(batch, self.preprocessing), verbose=0)
        if self.classifier_activation is None:
            outputs = np.asarray(keras.ops.softmax(outputs))
        return outputs[0] if images.ndim == 3 else outputs

    def get_config(self) -> dict:
        return {**super().get_config(), "classifier_activation": self.classifier_activation}
