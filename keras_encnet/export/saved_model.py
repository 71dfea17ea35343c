"""SavedModels, for programs that have TensorFlow and not Keras."""

import os
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from keras_encnet.preprocessing import preprocess_input


def export_saved_model(model, path):
    """Writes a SavedModel that takes raw images and answers with class maps.

    Its signature `serving_default` (also named `tensors`) takes `images`,
    float32 `(batch, height, width, 3)`, RGB in 0 to 255, any size, and returns
    `classes`, uint8 (int32 above 256 classes) `(batch, height, width)`, and
    `presence`, float32 probabilities `(batch, classes)`, where the model
    predicts it. It reads without Keras and without this package.

    Args:
        model: a `SegmentationModel`.
        path: a folder that doesn't exist yet. TensorFlow Serving wants
            `<name>/<version>`, such as `street/1`.

    Raises:
        FileExistsError: if `path` exists.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(
            f"Exports are never written over: choose another version. Received: path={str(path)!r}"
        )
    model = model.with_outputs([n for n in ("segmentation", "presence") if n in model.output])
    class_dtype = tf.uint8 if model.classes <= 256 else tf.int32

    def answer(images):
        outputs = model(preprocess_input(images, model.preprocessing), training=False)
        answers = {"classes": tf.cast(tf.argmax(outputs["segmentation"], -1), class_dtype)}
        if "presence" in outputs:
            answers["presence"] = tf.sigmoid(outputs["presence"])
        return answers

    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = tf.TensorSpec((None, None, None, 3), tf.float32, name="images")
    archive.add_endpoint("tensors", answer, input_signature=[spec])
    path.parent.mkdir(parents=True, exist_ok=True)
    place = tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        archive.write_out(place, verbose=False)
        os.chmod(place, 0o755)  # mkdtemp's folders are readable to their owner alone
        os.rename(place, path)
    finally:
        shutil.rmtree(place, ignore_errors=True)
