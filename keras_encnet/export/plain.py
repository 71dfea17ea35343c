"""A model as one function of tensors, without the loops that a server's graph has."""

import tensorflow as tf

from keras_encnet.export.network import Network
from keras_encnet.layers import BilinearUpsampling


class PlainModel(tf.Module):
    """From raw images to what other runtimes return: the input of their converters.

    `answer` takes `images`, float32 `(batch, height, width, 3)`, RGB in 0 to
    255. Of a `SegmentationModel` it returns `classes`, int32 `(batch, height,
    width)`, `presence`, probabilities `(batch, classes)`, if the model
    predicts it, and `probabilities`, `(batch, height, width, classes)`, if
    asked for; of a `ClassificationModel` `probabilities`, `(batch, classes)`.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        size: `(height, width)` if images have that size alone.
        probabilities: whether to return those of each pixel, too.
    """

    def __init__(self, model, size=None, probabilities=False):
        super().__init__()
        self.probabilities = probabilities
        self.network = Network(model, freeze=False, size=size)
        self.answer = tf.function(self._answer, [self.network.spec])

    def _answer(self, images):
        outputs = self.network(images)
        if "probabilities" in outputs:
            return outputs
        upsampling = BilinearUpsampling(self.network.align_corners)
        logits = upsampling(outputs["segmentation"], images)
        answer = {"classes": tf.argmax(logits, -1, tf.int32)}
        if self.probabilities:
            answer["probabilities"] = tf.nn.softmax(logits)
        if "presence" in outputs:
            answer["presence"] = tf.sigmoid(outputs["presence"])
        return answer
