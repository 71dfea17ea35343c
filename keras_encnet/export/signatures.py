"""What a SavedModel answers: the functions that become its signatures."""

import abc
import json

import tensorflow as tf

from keras_encnet.export.class_maps import class_maps
from keras_encnet.export.image_bytes import OK, decode, inspect
from keras_encnet.layers import BilinearUpsampling
from keras_encnet.utils.png import encode_indexed_png


class Signatures(tf.Module, abc.ABC):
    """The signatures of one model.

    Subclasses say what becomes of the network's outputs: for images that come
    as tensors, and for encoded ones.

    Args:
        network: a `Network`.
        size: `(height, width)` that encoded images are resized to.
        limits: `Limits`.
        class_names: one name per class.
        palette: uint8 array `(classes, 3)`.
        description: what `metadata` tells beside these, for JSON.
    """

    def __init__(self, network, size, limits, class_names, palette, description):
        super().__init__()
        self.network, self.size, self.limits = network, tuple(size), limits
        self.class_names, self.palette = tf.constant(class_names), palette
        self.description = tf.constant(json.dumps(description))

    @abc.abstractmethod
    def of_tensors(self, outputs, images):
        """Returns the answer to images that came as a tensor, a dict."""

    @abc.abstractmethod
    def of_bytes(self, outputs, sizes, accepted):
        """Returns the answer to encoded images, of which some may not have been accepted."""

    def functions(self):
        """Returns the signatures, a dict from names to traced functions."""
        spec = self.network.spec
        functions = {
            "serving_default": tf.function(
                self.encoded_images, [tf.TensorSpec((None,), tf.string, "image_bytes")]
            ),
            "tensors": tf.function(self.tensors, [spec]),
            "tensors_uint8": tf.function(
                self.tensors, [tf.TensorSpec(spec.shape, tf.uint8, spec.name)]
            ),
            "metadata": tf.function(self.metadata, [tf.TensorSpec((None,), tf.string, "query")]),
        }
        return {name: f.get_concrete_function() for name, f in functions.items()}

    def tensors(self, images):
        shape = tf.shape(images, tf.int64)
        pixels = tf.reduce_prod(shape[:3])
        most, side = self.limits.tensor_pixels, self.limits.side
        fit = (pixels > 0) & (pixels <= most) & (tf.reduce_max(shape) <= side)
        sentence = (
            f"Images of a request must have 1 to {most} pixels together, and at most {side} a "
            "side. Received (batch, height, width, channels):"
        )
        with tf.control_dependencies([tf.debugging.Assert(fit, [sentence, shape])]):
            # A server compares no shapes; this does.
            images = tf.cast(tf.ensure_shape(images, self.network.spec.shape), tf.float32)
        return self.of_tensors(self.network(images), images)

    def encoded_images(self, image_bytes):
        count = tf.size(image_bytes)
        sentence = (
            f"A request must have 1 to {self.limits.images} images: send several requests. "
            "Received:"
        )
        fit = (count > 0) & (count <= self.limits.images)
        with tf.control_dependencies([tf.debugging.Assert(fit, [sentence, count])]):
            status, images, sizes = tf.map_fn(
                self._read,
                image_bytes,
                fn_output_signature=(
                    tf.TensorSpec((), tf.string),
                    tf.TensorSpec((*self.size, 3), tf.float32),
                    tf.TensorSpec((2,), tf.int32),
                ),
                parallel_iterations=2,
            )
        answer = self.of_bytes(self.network(images), sizes, status == OK)
        return {**answer, "status": status}

    def _read(self, data):
        """Returns the status of one encoded image, its pixels resized, and its own size."""
        status, data = inspect(data, self.limits)
        image = tf.cond(
            status == OK,
            lambda: decode(data),
            lambda: tf.zeros((1, 1, 3), tf.uint8),
        )
        return status, tf.image.resize(image, self.size, antialias=True), tf.shape(image)[:2]

    def metadata(self, query):
        """Answers a row per element of `query`, whose values don't matter."""

        def rows(value):
            repeats = tf.concat([tf.shape(query), tf.ones_like(tf.shape(value))], 0)
            return tf.tile(value[None], repeats)

        return {
            "class_names": rows(self.class_names),
            "palette": rows(tf.constant(self.palette)),
            "description": rows(self.description),
        }


class SegmentationSignatures(Signatures):
    """To class maps, and the classes present if the model predicts them.

    Args:
        probabilities: whether `tensors` also answers with those of each pixel.
        **kwargs: see `Signatures`.
    """

    def __init__(self, probabilities=False, **kwargs):
        super().__init__(**kwargs)
        self.probabilities = probabilities

    def of_tensors(self, outputs, images):
        logits, corners = outputs["segmentation"], self.network.align_corners
        size = tf.shape(images)[1:3]
        answer = {"classes": class_maps(logits, size[0], size[1], corners)}
        if self.probabilities:
            answer["probabilities"] = tf.nn.softmax(BilinearUpsampling(corners)(logits, images))
        return {**answer, **_presence(outputs)}

    def of_bytes(self, outputs, sizes, accepted):
        def draw(of_image):
            logits, size, accepted = of_image
            return tf.cond(
                accepted,
                lambda: encode_indexed_png(
                    class_maps(logits[None], size[0], size[1], self.network.align_corners)[0],
                    self.palette,
                ),
                lambda: "",
            )

        masks = tf.map_fn(
            draw,
            (outputs["segmentation"], sizes, accepted),
            fn_output_signature=tf.string,
            parallel_iterations=1,
        )
        return {"mask_png_bytes": masks, **_where(accepted, _presence(outputs))}


class ClassificationSignatures(Signatures):
    """To probabilities and the name of the most probable class."""

    def of_tensors(self, outputs, images):
        probabilities = outputs["probabilities"]
        names = tf.gather(self.class_names, tf.argmax(probabilities, -1))
        return {"probabilities": probabilities, "class_name": names}

    def of_bytes(self, outputs, sizes, accepted):
        return _where(accepted, self.of_tensors(outputs, None))


def _presence(outputs):
    return {k: tf.sigmoid(v) for k, v in outputs.items() if k == "presence"}


def _where(accepted, answer):
    """Puts zeros or empty strings where an image wasn't accepted."""
    return {
        name: tf.where(
            tf.reshape(accepted, [-1] + [1] * (value.shape.rank - 1)), value, tf.zeros_like(value)
        )
        for name, value in answer.items()
    }
