"""SavedModels that `python -m saved_models.export` has written, loaded into this process."""

import dataclasses
import json
from typing import Any

import tensorflow as tf

from saved_models.server import SIGNATURE


@dataclasses.dataclass(frozen=True)
class Export:
    """An exported SavedModel.

    Attributes:
        serve: the signature that takes encoded images, `image_bytes`.
        class_names: the names of the classes.
        description: the rest of its metadata, such as the `limits`.
        fingerprint: differs between models, and between the weights of one model.
    """

    serve: Any
    class_names: list[str]
    description: dict[str, Any]
    fingerprint: str


def load_export(folder: str, model: str | None = None) -> Export:
    """Loads an exported SavedModel.

    Args:
        folder: the folder of one version, on this machine.
        model: how the user named the model, for messages; `folder` by default.

    Raises:
        ValueError: if the folder contains no SavedModel, a damaged one, or one of another origin.
    """
    received = f"Received: model={folder if model is None else model!r}"
    try:
        signatures = tf.saved_model.load(folder).signatures
        fingerprint = tf.saved_model.experimental.read_fingerprint(folder)
    except Exception as error:  # damaged files make loading fail in many ways
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(
            "Expected the folder of a SavedModel, such as `saved_models/street/1`; this one is "
            f"incomplete or damaged ({reason}). {received}"
        ) from error
    missing = {SIGNATURE, "metadata"} - set(signatures)
    if missing:
        raise ValueError(
            "Expected a SavedModel that `python -m saved_models.export` has written; this one "
            f"lacks the signatures {sorted(missing)}. {received}"
        )
    metadata = signatures["metadata"](query=tf.constant([""]))
    return Export(
        serve=signatures[SIGNATURE],
        class_names=[name.decode() for name in metadata["class_names"].numpy()[0]],
        description=json.loads(metadata["description"].numpy()[0]),
        fingerprint=f"{fingerprint.saved_model_checksum:x}-{fingerprint.checkpoint_hash:x}",
    )
