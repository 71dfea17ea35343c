"""Export to ONNX."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_encnet.export.portable import PortableModel
from keras_encnet.export.quantization import PRECISIONS, calibration_images, stays_in_float32
from keras_encnet.utils.files import atomic_file
from keras_encnet.utils.packages import import_optional

OPSET = 18
# Operations that take and return int8: those between the convolutions of a network as well.
QUANTIZED = ("Conv", "Add", "Concat", "MaxPool", "Relu")


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike,
    size: Sequence[int] | None = None,
    probabilities: bool = False,
    opset: int = OPSET,
    precision: str = "float32",
    calibration: Any = None,
) -> None:
    """Writes an ONNX file that takes raw images.

    The input is `images`, float32 `(batch, height, width, channels)`, raw, of any size unless
    `size` sets it. The outputs are those of `PortableModel`. Batch normalization is folded.

    Files in `"int8"` and `"dynamic_int8"` are as those of `export_litert`: a quarter of the size,
    with the Context Encoding Module, other sums over pixels and the logits in float32. In
    `"dynamic_int8"`, the range of each feature map is computed when the file is run.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: the file, such as `encnet.onnx`, overwritten if it exists.
        size: `(height, width)`, if all images have the same size.
        probabilities: whether to return the probabilities of each pixel as well.
        opset: version of ONNX's operators.
        precision: `"float32"`, `"dynamic_int8"` or `"int8"`.
        calibration: for `"int8"`, about 100 images, as for `export_litert`.

    Raises:
        MissingPackageError: if tf2onnx, or for int8 onnxruntime, is not installed.
        ValueError: for a model of another class, or without the output `segmentation`; for another
            precision, and for images that the file could not take.
    """
    images = calibration_images(model, precision, PRECISIONS, calibration, size)
    onnx = import_optional("onnx", "tf2onnx", "Exporting to ONNX")
    if precision != "float32":
        quantization = import_optional("onnxruntime.quantization", "onnxruntime", "ONNX in int8")
    portable = PortableModel(model, size, probabilities)
    proto = onnx_model(portable, opset)
    if precision != "float32":
        proto = _quantized(proto, images, quantization, onnx)
    with atomic_file(path) as temporary:
        onnx.save(proto, temporary)


def onnx_model(portable: PortableModel, opset: int = OPSET) -> Any:
    """Converts a model to ONNX.

    Returns:
        The `onnx.ModelProto`.

    Raises:
        MissingPackageError: if tf2onnx is not installed.
    """
    tf2onnx = import_optional("tf2onnx", "tf2onnx", "Exporting to ONNX")
    onnx = import_optional("onnx", "tf2onnx", "Exporting to ONNX")
    proto, _ = tf2onnx.convert.from_function(portable.predict, [portable.network.spec], opset=opset)
    for node in proto.graph.node:
        if node.op_type == "Conv":
            _pad_explicitly(node, onnx.helper)
    return proto


def _quantized(proto, images, quantization, onnx):
    """Returns the model with int8 weights and, given images, int8 feature maps.

    Nodes that have to stay in float32 do not change.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, quantized = (Path(folder) / f"{i}.onnx" for i in range(3))
        onnx.save(proto, source)
        quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        arguments = {
            "nodes_to_exclude": [x.name for x in nodes if stays_in_float32(x.name)],
            "per_channel": True,
            "weight_type": quantization.QuantType.QInt8,
        }
        if images:
            quantization.quantize_static(
                prepared,
                quantized,
                _Reader(images),
                activation_type=quantization.QuantType.QInt8,
                op_types_to_quantize=list(QUANTIZED),
                **arguments,
            )
        else:
            quantization.quantize_dynamic(prepared, quantized, **arguments)
        return onnx.load(quantized)


class _Reader:
    """Images in the form that ONNX Runtime reads."""

    def __init__(self, images):
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"images": image}


def _pad_explicitly(node, helper):
    """Replaces "same" padding by numbers, as ONNX Runtime requires for dilated convolutions.

    With a stride above 1, which is never dilated, the padding depends on the size of the image.
    """
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if attributes.get("auto_pad") != b"SAME_UPPER" or set(attributes["strides"]) != {1}:
        return
    total = [
        dilation * (size - 1)
        for size, dilation in zip(
            attributes["kernel_shape"], attributes.get("dilations", (1, 1)), strict=True
        )
    ]
    del attributes["auto_pad"]
    attributes["pads"] = [t // 2 for t in total] + [t - t // 2 for t in total]
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
