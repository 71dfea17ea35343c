"""ONNX files, for the runtimes that read them."""

from keras_encnet.export.plain import PlainModel
from keras_encnet.utils.files import atomic_file

OPSET = 18


def export_onnx(model, path, size=None, probabilities=False, opset=OPSET):
    """Writes an ONNX file that takes raw images and answers as `model` does.

    Its input is `images`, float32 `(batch, height, width, 3)`, RGB in 0 to
    255, of any size unless `size` fixes it. Its outputs are those of
    `PlainModel`. Batch normalization is folded.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: such as `encnet.onnx`, in place of a file that exists.
        size: `(height, width)` if images have that size alone.
        probabilities: whether to return those of each pixel, too.
        opset: version of ONNX's operators.

    Raises:
        ModuleNotFoundError: without `keras-encnet[onnx]`.
    """
    try:
        import onnx
        import tf2onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "ONNX files are written with tf2onnx: pip install 'keras-encnet[onnx]'."
        ) from error
    plain = PlainModel(model, size, probabilities)
    proto, _ = tf2onnx.convert.from_function(plain.answer, [plain.network.spec], opset=opset)
    for node in proto.graph.node:
        if node.op_type == "Conv":
            _pad_explicitly(node, onnx.helper)
    with atomic_file(path) as place:
        onnx.save(proto, place)


def _pad_explicitly(node, helper):
    """Says in numbers what "same" padding means, which ONNX Runtime wants beside dilation.

    Only where the stride is 1: the padding of others depends on the size.
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
