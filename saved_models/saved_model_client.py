"""A SavedModel in this process, in place of a server."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from saved_models.server import SIGNATURE, Client, ServerError, json_value


class SavedModelClient(Client):
    """A SavedModel in this process, with the methods of a client of TensorFlow Serving.

    Arguments: see `Client`; `address` is the folder of one version.

    Raises:
        ValueError: if the folder does not contain a SavedModel of this package.
    """

    def __post_init__(self):
        try:
            self.loaded = tf.saved_model.load(self.address)
        except Exception as error:  # damaged files make loading fail in many ways
            raise ValueError(
                "Expected the folder of a SavedModel, such as `saved_models/street/1`; this one is "
                f"incomplete or damaged. Received: model={self.address!r}"
            ) from error
        missing = {SIGNATURE, "metadata"} - set(self.loaded.signatures)
        if missing:
            raise ValueError(
                "Expected a SavedModel that `python -m saved_models.export` has written; this one "
                f"lacks the signatures {sorted(missing)}. Received: model={self.address!r}"
            )

    def status(self) -> dict[int, str]:
        return {self.version or 1: "AVAILABLE"}

    def signature(self) -> tuple[set[str], set[str]]:
        function = self.loaded.signatures[SIGNATURE]
        return set(function.structured_input_signature[1]), set(function.structured_outputs)

    def class_names(self) -> list[str]:
        outputs = self.loaded.signatures["metadata"](query=tf.constant([""]))
        return [name.decode() for name in outputs["class_names"][0].numpy()]

    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        try:
            outputs = self.loaded.signatures[SIGNATURE](image_bytes=tf.constant(images))
        except tf.errors.OpError as error:
            raise ServerError(error.message) from error
        values = {name: tensor.numpy() for name, tensor in outputs.items()}
        return [
            {name: json_value(name, value[i]) for name, value in values.items()}
            for i in range(len(images))
        ]
