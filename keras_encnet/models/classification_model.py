"""The model class of the CIFAR networks: fits on (image, label), classifies raw images."""

import keras
import numpy as np

from keras_encnet.models.image_model import ImageModel, check_raw
from keras_encnet.preprocessing import preprocess_input


@keras.saving.register_keras_serializable(package="keras_encnet")
class ClassificationModel(ImageModel):
    """A functional model from normalized images to logits or probabilities, `(batch, classes)`.

    What it adds to `keras.Model`: it remembers which normalization its images
    want and what its classes are called, so `classify` takes raw images. It
    is what `ResNet14`, `SEResNet14` and `EncNet14` return; `load_model` gives
    it back.

    Args:
        inputs: the input tensor, `(batch, height, width, channels)`.
        outputs: the output tensor, `(batch, classes)`.
        name: name of the model.
        preprocessing: mode of `keras_encnet.preprocess_input` for the images.
        class_names: one name per class; may be set later.
        classifier_activation: `"softmax"` if the output holds probabilities,
            None if it holds logits.
    """

    def __init__(
        self,
        inputs,
        outputs,
        name=None,
        *,
        preprocessing="cifar10",
        class_names=None,
        classifier_activation=None,
        **kwargs,
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

    def classify(self, images):
        """Tells how probable each class is for raw images.

        Args:
            images: one image `(height, width, 3)` or a batch `(batch, height,
                width, 3)`, RGB, integers or floats in 0 to 255; they are
                normalized here.

        Returns:
            Probabilities, float32: `(classes,)` or `(batch, classes)`.

        Raises:
            ValueError: for other shapes or values outside 0 to 255.
        """
        images = np.asarray(images)
        check_raw(images)
        batch = images[None] if images.ndim == 3 else images
        answers = self.predict(preprocess_input(batch, self.preprocessing), verbose=0)
        if self.classifier_activation is None:
            answers = np.asarray(keras.ops.softmax(answers))
        return answers[0] if images.ndim == 3 else answers

    def get_config(self):
        return {**super().get_config(), "classifier_activation": self.classifier_activation}
