"""Export to LiteRT (TensorFlow Lite), for phones and embedded devices."""

import os
import re
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_encnet.export.portable import PortableModel
from keras_encnet.export.quantization import PRECISIONS, calibration_images, stays_in_float32
from keras_encnet.utils.files import atomic_file
from keras_encnet.utils.sizes import resize_images

# Names that the converter gives to the outputs of the model.
OUTPUT = re.compile(r"(Stateful)?PartitionedCall(:\d+)?$")


def export_litert(
    model: keras.Model,
    path: str | os.PathLike,
    size: Sequence[int] | None = None,
    probabilities: bool = False,
    precision: str = "float32",
    calibration: Any = None,
) -> None:
    """Writes a LiteRT file that takes raw images.

    The input is `images`, float32 `(batch, height, width, channels)`, raw. Batch, height and
    width are 1 until the program resizes the input, unless `size` sets them. The outputs are those
    of `PortableModel`. Only builtin operators are used. Batch normalization is folded.

    A file in int8 has about a quarter of the size, and the same input and outputs:

    - `"int8"`: weights, per channel, and feature maps. Their ranges are those that `calibration`
      shows. The normalization of images, the Context Encoding Module, other sums over pixels and
      the logits stay in float32.
    - `"dynamic_int8"`: weights. Feature maps are stored in float32, and the program may quantize
      them while it computes, by the range of each.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: the file, such as `encnet.tflite`, overwritten if it exists.
        size: `(height, width)`, if all images have the same size.
        probabilities: whether to return the probabilities of each pixel as well.
        precision: `"float32"`, `"dynamic_int8"` or `"int8"`.
        calibration: for `"int8"`, about 100 images of the kind that the file will get, such as
            training images: `(count, height, width, channels)`, or a list or data set of images
            `(height, width, channels)`, raw. They are resized to the working size of the model,
            and then to the size of the first; with `size`, they must have this size.

    Raises:
        ValueError: for a model of another class, or without the output `segmentation`; for another
            precision, and for images that the file could not take.
    """
    images = calibration_images(model, precision, PRECISIONS, calibration, size)
    portable = PortableModel(model, size, probabilities)
    with tempfile.TemporaryDirectory() as folder:
        # Through a SavedModel, which preserves the names of inputs and outputs.
        tf.saved_model.save(portable, folder, {"serving_default": portable.predict})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        content = _quantized(converter, images) if images else converter.convert()
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def _quantized(converter, images):
    """Returns the model with int8 feature maps, except for those of some layers."""
    # TensorFlow calibrates at the size of the first image.
    images = [resize_images(image, images[0].shape[1:3]).numpy() for image in images]
    builtins = tf.lite.OpsSet
    converter.target_spec.supported_ops = [builtins.TFLITE_BUILTINS_INT8, builtins.TFLITE_BUILTINS]
    converter.representative_dataset = lambda: ([image] for image in images)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
        # Only the debugger of quantization can exclude operations.
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=converter.representative_dataset
        )
        tensors = tf.lite.Interpreter(model_content=debugger.calibrated_model).get_tensor_details()
        debugger.options = tf.lite.experimental.QuantizationDebugOptions(
            denylisted_nodes=[
                name
                for name in (tensor["name"] for tensor in tensors)
                if OUTPUT.match(name) or stays_in_float32(name)
            ]
        )
    return debugger.get_nondebug_quantized_model()
