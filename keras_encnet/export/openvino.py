"""Export to OpenVINO, a runtime for x86 processors."""

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_encnet.export.onnx import onnx_model
from keras_encnet.export.portable import PortableModel
from keras_encnet.export.quantization import calibration_images, stays_in_float32
from keras_encnet.utils.files import atomic_file
from keras_encnet.utils.packages import import_optional

PRECISIONS = ("float32", "bfloat16", "int8")


def export_openvino(
    model: keras.Model,
    path: str | os.PathLike,
    size: Sequence[int] | None = None,
    probabilities: bool = False,
    precision: str = "float32",
    calibration: Any = None,
) -> None:
    """Writes a model for OpenVINO that takes raw images: the graph and, next to it, the weights.

    The input is `images`, float32 `(batch, height, width, channels)`, raw, of any size unless
    `size` sets it. The outputs are those of `PortableModel`. Batch normalization is folded.

    - `"float32"`: weights in float32.
    - `"bfloat16"`: kernels of convolutions in bfloat16, which halves the size of the weights.
    - `"int8"`: kernels, per channel, and feature maps in int8, with the ranges that `calibration`
      shows; a quarter of the size. The normalization of images, the Context Encoding Module, other
      sums over pixels and the logits are not quantized.

    The program chooses how to compute what is not in int8. OpenVINO's default is bfloat16 on
    processors with instructions for it; `compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT":
    "f32"})` computes in float32.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: the file of the graph, such as `encnet.xml`. That of the weights is `encnet.bin`. Both
            are overwritten if they exist.
        size: `(height, width)`, if all images have the same size.
        probabilities: whether to return the probabilities of each pixel as well.
        precision: `"float32"`, `"bfloat16"` or `"int8"`.
        calibration: for `"int8"`, about 100 images, as for `export_litert`.

    Raises:
        MissingPackageError: if tf2onnx, openvino, or for int8 nncf, is not installed.
        ValueError: for a model of another class, or without the output `segmentation`; for another
            precision or file name, and for images that the file could not take.
    """
    path = Path(path)
    if path.suffix != ".xml":
        raise ValueError(
            "OpenVINO recognizes the file of a graph by its name, which must end in `.xml`. "
            f"Received: path={str(path)!r}"
        )
    images = calibration_images(model, precision, PRECISIONS, calibration, size)
    openvino = import_optional("openvino", "openvino", "Exporting to OpenVINO")
    if precision == "int8":
        nncf = import_optional("nncf", "nncf", "OpenVINO in int8")
    portable = PortableModel(model, size, probabilities)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        source.write_bytes(onnx_model(portable).SerializeToString())
        converted = openvino.convert_model(source)
        if precision == "bfloat16":
            _store_in_bfloat16(converted, openvino)
        elif precision == "int8":
            converted = _quantized(converted, images, nncf)
        weights = path.with_suffix(".bin")
        with atomic_file(path) as new_graph, atomic_file(weights) as new_weights:
            result = Path(folder) / "model.xml"
            openvino.save_model(converted, result, compress_to_fp16=False)
            new_graph.write_bytes(result.read_bytes())
            new_weights.write_bytes(result.with_suffix(".bin").read_bytes())
            path.unlink(missing_ok=True)  # it must not describe other weights at any time


def _store_in_bfloat16(converted, openvino):
    """Replaces the kernels of convolutions by bfloat16 constants, which are cast when used."""
    opset, types = openvino.opset13, openvino.Type
    for operation in converted.get_ops():
        if "Convolution" in operation.get_type_name():
            kernel = operation.input_value(1).get_node()
            if kernel.get_type_name() == "Constant":
                # Rounded to the nearest value here, since OpenVINO rounds towards zero.
                nearest = tf.cast(tf.cast(kernel.data, tf.bfloat16), tf.float32).numpy()
                rounded = opset.constant(nearest, types.bf16)
                operation.input(1).replace_source_output(opset.convert(rounded, "f32").output(0))


def _quantized(converted, images, nncf):
    """Returns the model with int8 kernels and feature maps, except for those of some layers."""
    names = [operation.get_friendly_name() for operation in converted.get_ops()]
    ignored = [name for name in names if stays_in_float32(name)]
    logging.getLogger("nncf").setLevel(logging.WARNING)  # it would list every operation
    return nncf.quantize(
        converted,
        nncf.Dataset(images),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
    )
