"""SavedModels on Apache Beam: from encoded images to masks and other outputs."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler
from PIL import Image

from saved_models.beam import files
from saved_models.exports import load_export
from saved_models.predictions import MASK
from training.input.image_paths import explain


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The outputs for one image, or why there are none.

    Attributes:
        outputs: values for JSON.
        mask: an encoded PNG, if the model predicts masks.
        error: why the image has no prediction, or None.
    """

    outputs: dict[str, Any] = dataclasses.field(default_factory=dict)
    mask: bytes | None = None
    error: str | None = None


class ServedModel:
    """An export of `export_saved_model`.

    Args:
        path: the folder of the version, on any file system of Beam.

    Raises:
        ValueError: if the folder contains no SavedModel of `saved_models.export`.
    """

    def __init__(self, path: str):
        with tempfile.TemporaryDirectory() as folder:
            if not files.is_local(path):
                files.copy_folder(path, folder)
            self.export = load_export(path if files.is_local(path) else folder, path)
        self.class_names = self.export.class_names
        self.has_masks = MASK in self.export.serve.structured_outputs

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Returns one prediction per encoded image, with the error of each that fails."""
        try:
            outputs = self.export.serve(image_bytes=tf.constant(images, tf.string))
        except tf.errors.OpError as error:
            if len(images) > 1:  # one of them may be the cause
                return [prediction for image in images for prediction in self.predict([image])]
            return [Prediction(error=(error.message or type(error).__name__).splitlines()[0])]
        arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
        rows = [{name: array[i] for name, array in arrays.items()} for i in range(len(images))]
        return [self._prediction(**row) for row in rows]

    def _prediction(self, status, **outputs):
        if status != b"ok":
            return Prediction(error=explain(status.decode()))
        mask = outputs.pop(MASK, None)
        described = {name: self._for_json(value) for name, value in outputs.items()}
        if mask is not None:
            described = {"shares": self._shares(mask), **described}
        try:
            json.dumps(described, allow_nan=False)
        except ValueError:
            return Prediction(error="the outputs of the model are not finite")
        return Prediction(described, mask)

    def _for_json(self, value):
        """Returns numbers per class by class name, and other values as they are."""
        if isinstance(value, bytes):
            return value.decode()
        return dict(zip(self.class_names, value.tolist(), strict=True))

    def _shares(self, mask):
        """Returns the share of the pixels of each class in a mask, the largest first."""
        with Image.open(io.BytesIO(mask), formats=["PNG"]) as image:
            counts = np.bincount(np.asarray(image).ravel(), minlength=len(self.class_names))
        shares = counts / counts.sum()
        order = np.argsort(-counts, kind="stable")
        return {self.class_names[i]: float(shares[i]) for i in order if counts[i]}


@functools.lru_cache(maxsize=1)
def load(path: str) -> ServedModel:
    """Loads a model once per process, since the command and its worker may be the same one."""
    return ServedModel(path)


class SavedModelHandler(ModelHandler[bytes, Prediction, ServedModel]):
    """Runs an exported SavedModel in `RunInference`.

    The handlers of Beam for TensorFlow load models with Keras, which does not read SavedModels, or
    from TensorFlow Hub.

    Args:
        path: the folder of the version, on any file system of Beam.
        batch_size: largest number of images in one call of the model.
    """

    def __init__(self, path: str, batch_size: int):
        super().__init__(max_batch_size=batch_size)
        self.path = path

    def load_model(self) -> ServedModel:
        return load(self.path)

    def run_inference(
        self,
        batch: Sequence[bytes],
        model: ServedModel,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Prediction]:
        return model.predict(batch)

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        return sum(map(len, batch))


def find_version(model: str, version: int | None = None) -> str:
    """Returns the folder of a version of an exported model.

    Args:
        model: the folder of the versions, or that of one version.
        version: number of the version. Defaults to the highest.

    Raises:
        FileNotFoundError: if there is no such version.
    """
    folder = files.folder_path(model)
    if version is None and FileSystems.exists(f"{folder}saved_model.pb"):
        return folder.rstrip("/")
    found = files.paths_of(f"{files.glob.escape(folder)}*/saved_model.pb")
    numbers = [name for name in (path.split("/")[-2] for path in found) if name.isdecimal()]
    versions = {int(name): folder + name for name in numbers}
    if not versions or (version is not None and version not in versions):
        raise FileNotFoundError(
            "Expected an exported SavedModel, or the folder of its versions, which "
            f"`python -m saved_models.export` writes. It has the versions {sorted(versions)}. "
            f"Received: model={model!r}, version={version}"
        )
    return versions[max(versions) if version is None else version]
