"""Export to LiteRT (TensorFlow Lite), for phones and embedded devices."""

import os
import tempfile
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_encnet.export.portable import PortableModel
from keras_encnet.utils.files import atomic_file


def export_litert(
    model: keras.Model,
    path: str | os.PathLike,
    size: Sequence[int] | None = None,
    probabilities: bool = False,
) -> None:
    """Writes a LiteRT file that takes raw images.

    The input is `images`, float32 `(batch, height, width, 3)`, RGB in 0 to 255. Batch, height and
    width are 1 until the program resizes the input, unless `size` sets them. The outputs are those
    of `PortableModel`. Only builtin operators are used. Batch normalization is folded.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: the file, such as `encnet.tflite`, overwritten if it exists.
        size: `(height, width)`, if all images have the same size.
        probabilities: whether to return the probabilities of each pixel as well.

    Raises:
        ValueError: for a model of another class, or without the output `segmentation`.
    """
    portable = PortableModel(model, size, probabilities)
    with tempfile.TemporaryDirectory() as folder:
        # Through a SavedModel, which preserves the names of inputs and outputs.
        tf.saved_model.save(portable, folder, {"serving_default": portable.predict})
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
