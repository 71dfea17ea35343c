"""Export to ONNX."""

import os
from collections.abc import Sequence

import keras

from keras_encnet.export.portable import PortableModel
from keras_encnet.utils.files import atomic_file
from keras_encnet.utils.packages import import_optional

OPSET = 18


def export_onnx(
    model: keras.Model,
    path: str | os.PathLike,
    size: Sequence[int] | None = None,
    probabilities: bool = False,
    opset: int = OPSET,
) -> None:
    """Writes an ONNX file that takes raw images.

    The input is `images`, float32 `(batch, height, width, 3)`, RGB in 0 to 255, of any size unless
    `size` sets it. The outputs are those of `PortableModel`. Batch normalization is folded.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: the file, such as `encnet.onnx`, overwritten if it exists.
        size: `(height, width)`, if all images have the same size.
        probabilities: whether to return the probabilities of each pixel as well.
        opset: version of ONNX's operators.

    Raises:
        MissingPackageError: if tf2onnx is not installed.
        ValueError: for a model of another class, or without the output `segmentation`.
    """
    tf2onnx = import_optional("tf2onnx", "tf2onnx", "Exporting to ONNX")
    onnx = import_optional("onnx", "tf2onnx", "Exporting to ONNX")
    portable = PortableModel(model, size, probabilities)
    proto, _ = tf2onnx.convert.from_function(portable.predict, [portable.network.spec], opset=opset)
    for node in proto.graph.node:
        if node.op_type == "Conv":
            _pad_explicitly(node, onnx.helper)
    with atomic_file(path) as temporary:
        onnx.save(proto, temporary)


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
