"""The functions that become the signatures of a SavedModel."""

import abc
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_encnet.export.image_bytes import OK, Limits, read
from keras_encnet.export.network import InferenceNetwork
from keras_encnet.layers import BilinearUpsampling
from keras_encnet.utils.class_maps import class_maps
from keras_encnet.utils.png import encode_indexed_png
from keras_encnet.utils.sizes import WorkingSize, resize_images, scaled_size


class Signatures(tf.Module, abc.ABC):
    """The signatures of one model.

    Subclasses convert the outputs of the network to predictions.

    Args:
        network: an `InferenceNetwork`.
        size: `(height, width)` that all encoded images are resized to, or None.
        limits: `Limits`.
        class_names: one name per class.
        palette: uint8 array `(classes, 3)`.
        description: dict for JSON, an output of `metadata`.
    """

    def __init__(
        self,
        network: InferenceNetwork,
        size: Sequence[int] | None,
        limits: Limits,
        class_names: Sequence[str],
        palette: np.ndarray,
        description: Mapping[str, Any],
    ):
        super().__init__()
        self.network, self.size, self.limits = network, size, limits
        self.class_names, self.palette = tf.constant(class_names), palette
        self.description = tf.constant(json.dumps(description))

    @abc.abstractmethod
    def predictions_for_tensors(
        self, outputs: Mapping[str, tf.Tensor], images: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the predictions for images that were sent as a tensor."""

    @abc.abstractmethod
    def predictions_for_files(
        self, outputs: Mapping[str, tf.Tensor], sizes: tf.Tensor, accepted: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the predictions for encoded images.

        Args:
            outputs: outputs of the network for the resized images.
            sizes: `(batch, 2)`, height and width of the images.
            accepted: booleans `(batch,)`. Refused images get zeros and empty strings.
        """

    def functions(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Returns the signatures by name."""
        spec = self.network.spec
        functions = {
            "tensors": tf.function(self.tensors, [spec]),
            "tensors_uint8": tf.function(
                self.tensors, [tf.TensorSpec(spec.shape, tf.uint8, spec.name)]
            ),
            "metadata": tf.function(self.metadata, [tf.TensorSpec((None,), tf.string, "query")]),
        }
        if self.network.takes_files:
            files = tf.TensorSpec((None,), tf.string, "image_bytes")
            functions = {"serving_default": tf.function(self.encoded_images, [files]), **functions}
        return {name: f.get_concrete_function() for name, f in functions.items()}

    def tensors(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predicts images sent as a tensor."""
        shape = tf.shape(images, tf.int64)
        pixels = tf.reduce_prod(shape[:3])
        most, side = self.limits.tensor_pixels, self.limits.side
        fit = (pixels > 0) & (pixels <= most) & (tf.reduce_max(shape) <= side)
        message = (
            f"The images of a request must have 1 to {most} pixels in total, and at most {side} "
            "per side. Received (batch, height, width, channels):"
        )
        with tf.control_dependencies([tf.debugging.Assert(fit, [message, shape])]):
            # Servers do not check shapes.
            images = tf.cast(tf.ensure_shape(images, self.network.spec.shape), tf.float32)
        return self.predictions_for_tensors(self.network(images), images)

    def encoded_images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predicts encoded images."""
        count = tf.size(image_bytes)
        message = (
            f"A request must have 1 to {self.limits.images} images: use several requests. Received:"
        )
        fit = (count > 0) & (count <= self.limits.images)
        with tf.control_dependencies([tf.debugging.Assert(fit, [message, count])]):
            return self.predict_files(image_bytes)

    def predict_files(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predicts encoded images in one batch."""
        assert self.size is not None  # otherwise images of a batch differ in size
        status, images, sizes = tf.map_fn(
            self._read,
            image_bytes,
            fn_output_signature=(
                tf.TensorSpec((), tf.string),
                tf.TensorSpec((*self.size, self.network.channels), tf.float32),
                tf.TensorSpec((2,), tf.int32),
            ),
            parallel_iterations=2,
        )
        predictions = self.predictions_for_files(self.network(images), sizes, status == OK)
        return {**predictions, "status": status}

    def _read(self, data):
        """Returns the status of an encoded image, its resized pixels, and its size."""
        status, image = read(data, self.limits, self.network.channels)
        return status, resize_images(image[None], self.size)[0], tf.shape(image)[:2]

    def metadata(self, query: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns one row per element of `query`; the values of `query` are not used."""

        def rows(value):
            repeats = tf.concat([tf.shape(query), tf.ones_like(tf.shape(value))], 0)
            return tf.tile(value[None], repeats)

        return {
            "class_names": rows(self.class_names),
            "palette": rows(tf.constant(self.palette)),
            "description": rows(self.description),
        }


class SegmentationSignatures(Signatures):
    """Predicts class maps and, if the model does, the classes present.

    Args:
        probabilities: whether `tensors` returns the probabilities of each pixel as well.
        working_size: size that each encoded image is resized to, with its aspect ratio, if
            `size` is None.
        **kwargs: see `Signatures`.
    """

    def __init__(
        self, probabilities: bool = False, working_size: WorkingSize = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.probabilities, self.working_size = probabilities, working_size

    def predict_files(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        if self.size is not None:
            return super().predict_files(image_bytes)
        specs = {name: tf.TensorSpec((), tf.string) for name in ("mask_png_bytes", "status")}
        if "presence" in self.network.names:
            specs["presence"] = tf.TensorSpec((len(self.palette),), tf.float32)
        return tf.map_fn(
            self._predict_file, image_bytes, fn_output_signature=specs, parallel_iterations=1
        )

    def _predict_file(self, data):
        """Predicts one encoded image; a refused one, which is a black pixel, is not enlarged."""
        status, image = read(data, self.limits, self.network.channels)
        accepted, size = status == OK, tf.shape(image)[:2]
        seen = tf.where(accepted, scaled_size(size, self.working_size), 1)
        outputs = self.network(resize_images(image[None], seen))
        predictions = self.predictions_for_files(outputs, size[None], accepted[None])
        return {"status": status, **{name: value[0] for name, value in predictions.items()}}

    def predictions_for_tensors(
        self, outputs: Mapping[str, tf.Tensor], images: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        logits, corners = outputs["segmentation"], self.network.align_corners
        size = tf.shape(images)[1:3]
        predictions = {"classes": class_maps(logits, size[0], size[1], corners)}
        if self.probabilities:
            upsampled = BilinearUpsampling(corners)(logits, images)
            predictions["probabilities"] = tf.nn.softmax(upsampled)
        return {**predictions, **_presence(outputs)}

    def predictions_for_files(
        self, outputs: Mapping[str, tf.Tensor], sizes: tf.Tensor, accepted: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        def mask_png(elements):
            logits, size, accepted = elements
            return tf.cond(
                accepted,
                lambda: encode_indexed_png(
                    class_maps(logits[None], size[0], size[1], self.network.align_corners)[0],
                    self.palette,
                ),
                lambda: "",
            )

        masks = tf.map_fn(
            mask_png,
            (outputs["segmentation"], sizes, accepted),
            fn_output_signature=tf.string,
            parallel_iterations=1,
        )
        return {"mask_png_bytes": masks, **_zero_unless(accepted, _presence(outputs))}


class ClassificationSignatures(Signatures):
    """Predicts probabilities and the name of the most probable class."""

    def predictions_for_tensors(
        self, outputs: Mapping[str, tf.Tensor], images: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        probabilities = outputs["probabilities"]
        names = tf.gather(self.class_names, tf.argmax(probabilities, -1))
        return {"probabilities": probabilities, "class_name": names}

    def predictions_for_files(
        self, outputs: Mapping[str, tf.Tensor], sizes: tf.Tensor, accepted: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return _zero_unless(accepted, self.predictions_for_tensors(outputs, images=None))


def _presence(outputs):
    return {k: tf.sigmoid(v) for k, v in outputs.items() if k == "presence"}


def _zero_unless(accepted, predictions):
    """Replaces the predictions of refused images by zeros or empty strings."""
    return {
        name: tf.where(
            tf.reshape(accepted, [-1] + [1] * (value.shape.rank - 1)), value, tf.zeros_like(value)
        )
        for name, value in predictions.items()
    }
