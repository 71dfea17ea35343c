"""A SavedModel in this process, in place of a server."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from saved_models.exports import load_export
from saved_models.server import Client, ServerError, json_value


class SavedModelClient(Client):
    """A SavedModel in this process, with the methods of a client of TensorFlow Serving.

    Arguments: see `Client`; `address` is the folder of one version.

    Raises:
        ValueError: if the folder does not contain a SavedModel of this package.
    """

    def __post_init__(self):
        self.export = load_export(self.address)

    def status(self) -> dict[int, str]:
        return {self.version or 1: "AVAILABLE"}

    def signature(self) -> tuple[set[str], set[str]]:
        serve = self.export.serve
        return set(serve.structured_input_signature[1]), set(serve.structured_outputs)

    def class_names(self) -> list[str]:
        return self.export.class_names

    def predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        try:
            outputs = self.export.serve(image_bytes=tf.constant(images))
        except tf.errors.OpError as error:
            raise ServerError(error.message) from error
        values = {name: tensor.numpy() for name, tensor in outputs.items()}
        return [
            {name: json_value(name, value[i]) for name, value in values.items()}
            for i in range(len(images))
        ]
