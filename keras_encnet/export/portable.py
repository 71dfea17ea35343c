"""A model as one function of tensors that other runtimes can execute."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_encnet.export.network import NO_INT8, InferenceNetwork
from keras_encnet.layers import BilinearUpsampling


class PortableModel(tf.Module):
    """A model without loops over strips or images, for the converters of other runtimes.

    `predict` takes `images`, float32 `(batch, height, width, channels)`, raw. For a
    `SegmentationModel` it returns `classes`, int32 `(batch, height, width)`; `presence`,
    probabilities `(batch, classes)`, if the model predicts them; and with `probabilities=True`
    `probabilities`, `(batch, height, width, classes)`. For a `ClassificationModel` it returns
    `probabilities`, `(batch, classes)`.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        size: `(height, width)`, if all images have the same size.
        probabilities: whether to return the probabilities of each pixel as well.
    """

    def __init__(
        self, model: keras.Model, size: Sequence[int] | None = None, probabilities: bool = False
    ):
        super().__init__()
        self.probabilities = probabilities
        self.network = InferenceNetwork(model, freeze=False, size=size, portable=True)
        self.predict = tf.function(self._predict, [self.network.spec])

    def _predict(self, images):
        outputs = self.network(images)
        if "probabilities" in outputs:
            return outputs
        with tf.name_scope(f"{NO_INT8}predictions"):
            return self._predictions(images, outputs)

    def _predictions(self, images, outputs):
        upsampling = BilinearUpsampling(self.network.align_corners)
        logits = upsampling(outputs["segmentation"], images)
        predictions = {"classes": tf.argmax(logits, -1, tf.int32)}
        if self.probabilities:
            predictions["probabilities"] = tf.nn.softmax(logits)
        if "presence" in outputs:
            predictions["presence"] = tf.sigmoid(outputs["presence"])
        return predictions
