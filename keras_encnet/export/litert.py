"""LiteRT (TensorFlow Lite) files, for phones and small boards."""

import tempfile

import tensorflow as tf

from keras_encnet.export.plain import PlainModel
from keras_encnet.utils.files import atomic_file


def export_litert(model, path, size=None, probabilities=False):
    """Writes a LiteRT file that takes raw images and answers as `model` does.

    Its input is `images`, float32 `(batch, height, width, 3)`, RGB in 0 to
    255; batch, height and width are 1 until the program resizes the input,
    unless `size` fixes them. Its outputs are those of `PlainModel`. Builtin
    operators suffice. Batch normalization is folded.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: such as `encnet.tflite`, in place of a file that exists.
        size: `(height, width)` if images have that size alone.
        probabilities: whether to return those of each pixel, too.
    """
    plain = PlainModel(model, size, probabilities)
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel the file keeps the names of inputs and outputs.
        tf.saved_model.save(plain, folder, {"serving_default": plain.answer})
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    with atomic_file(path) as place:
        place.write_bytes(content)
