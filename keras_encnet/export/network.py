"""The network of a model as one fast TensorFlow function from raw images to logits."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.graph.compiled import before_upsampling
from keras_encnet.graph.folding import fold_batch_normalization
from keras_encnet.graph.precision import copies_with_precision, integer_sensitive
from keras_encnet.graph.rebuilding import copy_of, quantized_layers, rebuild
from keras_encnet.layers.dilated_conv2d import DilatedConv2D, convolve
from keras_encnet.models.classification_model import ClassificationModel
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.utils import compat

NO_INT8 = "no_int8_"
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


class FusableConv2D(keras.layers.Conv2D):
    """Conv2D as two operations that TensorFlow's optimizer fuses with a subsequent ReLU.

    Keras's layer uses `tf.nn.convolution`, which reshapes around the bias and, for dilation and
    unknown sizes, inserts space-to-batch operations.
    """

    def call(self, x):
        return convolve(self, x)


class DilatedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D as one operation, which not every build of TensorFlow executes if dilated.

    For dilation, `tf.nn.depthwise_conv2d` moves pixels to the batch axis and back. Converters to
    ONNX keep these operations, which take longer than the convolution.
    """

    def call(self, x):
        x = tf.raw_ops.DepthwiseConv2dNative(
            input=x,
            filter=tf.convert_to_tensor(self.kernel),
            strides=(1, 1, 1, 1),
            padding=self.padding.upper(),
            dilations=(1, *self.dilation_rate, 1),
        )
        return tf.nn.bias_add(x, tf.convert_to_tensor(self.bias)) if self.use_bias else x


class InferenceNetwork(tf.Module):
    """Maps raw images `(batch, height, width, channels)`, float32, to a dict of outputs.

    For a `SegmentationModel` these are `segmentation`, logits before upsampling, and `presence`,
    logits, if the model predicts it. For a `ClassificationModel` it is `probabilities`.

    The operations of layers that int8 exports leave in float32 are in scopes whose names start with
    `NO_INT8`.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        fold: whether to fold batch normalization.
        freeze: whether to replace variables by constants, which lets TensorFlow's optimizer
            compute with them in advance.
        precision: `"float32"` or `"bfloat16"`, see `with_precision`. The latter also stores the
            weights of these convolutions in bfloat16.
        size: `(height, width)`, if all images have the same size.
        portable: whether the network is converted for other runtimes, and not executed here.
    """

    def __init__(
        self,
        model: keras.Model,
        fold: bool = True,
        freeze: bool = True,
        precision: str = "float32",
        size: Sequence[int] | None = None,
        portable: bool = False,
    ):
        super().__init__()
        check_exportable(model)
        size = model.input.shape[1:3] if size is None else size
        self.spec = tf.TensorSpec((None, *size, model.channels), tf.float32, name="images")
        self.channels = model.channels
        # Files hold gray or RGB images with values in 0 to 255.
        self.takes_files = self.channels in (1, 3) and model.expected_images.has_bytes
        self.align_corners = False
        inner = self._inner(model)
        inner = fold_batch_normalization(inner) if fold else inner
        copy, sensitive = copies_with_precision(inner, precision), integer_sensitive(inner)
        inner = rebuild(inner, lambda layer: _fusable(_marked(copy(layer), sensitive), portable))
        self.names = sorted(inner.output)

        @tf.function(input_signature=[self.spec])
        def outputs(images):
            tensors = inner(images, training=False)
            return [tf.cast(tensors[name], tf.float32) for name in self.names]

        if freeze:
            self.outputs = compat.frozen(outputs.get_concrete_function())
        else:
            self.outputs = outputs
            self.tracked = [variable.value for variable in inner.variables]

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(self.names, self.outputs(images), strict=True))

    def _inner(self, model):
        if isinstance(model, ClassificationModel):
            tensor = model.output
            if model.classifier_activation is None:
                tensor = keras.layers.Softmax(dtype="float32")(tensor)
            return keras.Model(model.input, {"probabilities": tensor})
        tensors = {k: v for k, v in model.output.items() if k in ("segmentation", "presence")}
        # Upsampling is left to the code that needs the mask, at the size it needs.
        logits, self.align_corners = before_upsampling(model, tensors["segmentation"])
        tensors["segmentation"] = logits
        return keras.Model(model.input, tensors)


def _fusable(layer, portable):
    changes: dict[str, Any] = {}
    if layer.dtype_policy.name == "mixed_bfloat16" and isinstance(layer, CONVOLUTIONS):
        changes["dtype"] = "bfloat16"  # its weights as well: the same results from half the bytes
    if getattr(layer, "activation", None) is keras.activations.gelu:
        changes["activation"] = _gelu
    return _fusable_class(layer, portable).from_config({**layer.get_config(), **changes})


def _fusable_class(layer, portable):
    own = type(layer)
    if getattr(layer, "activation", None) is keras.activations.linear:
        if own in (keras.layers.Conv2D, DilatedConv2D) and layer.groups == 1:
            return FusableConv2D
        if own is keras.layers.DepthwiseConv2D and layer.dilation_rate != (1, 1) and portable:
            return DilatedDepthwiseConv2D
    return own


def _gelu(x):
    """The exact GELU by erf, since tf2onnx cannot convert the erfc of Keras's."""
    return 0.5 * x * (1 + tf.math.erf(x / np.sqrt(2, dtype="float32")))


def _marked(layer, sensitive):
    return copy_of(layer, name=NO_INT8 + layer.name) if layer.name in sensitive else layer


def check_exportable(model: keras.Model) -> None:
    """Raises ValueError unless `model` is one of this package on raw images, with its output."""
    if not isinstance(model, SegmentationModel | ClassificationModel):
        raise ValueError(
            "Expected a `SegmentationModel` or a `ClassificationModel`. "
            f"Received: model of class {type(model).__name__}"
        )
    if isinstance(model, SegmentationModel) and "segmentation" not in model.output:
        raise ValueError(
            "Expected a model with the output `segmentation`. "
            f"Received: outputs={sorted(model.output)}"
        )
    quantized = quantized_layers(model)
    if quantized:
        raise ValueError(
            "TensorFlow cannot export the layers that `quantize` changes: export the model before "
            "`quantize`, in bfloat16 for a smaller network. "
            f"Received: model={model.name!r} with quantized layers {quantized}"
        )
    if model.preprocessing is None:
        raise ValueError(
            "Exports take raw images: build the model with `include_preprocessing=True` and load "
            f"its weights. Received: model={model.name!r}, built with include_preprocessing=False"
        )
