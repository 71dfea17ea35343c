"""Models saved by runs, and the configurations of those runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

import keras_encnet
from keras_encnet.models.image_model import ImageModel
from keras_encnet.utils import keras_files
from keras_encnet.utils.files import read_json

# The classes of models that `training.train` saves.
KINDS = (keras_encnet.SegmentationModel, keras_encnet.ClassificationModel)


def find_model(path: str | os.PathLike) -> Path:
    """Returns the path of the `.keras` file for a run folder or a `.keras` file.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it is a repository of the Hugging Face Hub.
    """
    path = Path(path)
    if path.parts[:1] == ("hf:",):
        raise ValueError(
            "Commands read local models. To save this one in a file, run in Python: `import keras, "
            f"keras_encnet; keras.saving.load_model('hf://{'/'.join(path.parts[1:])}')"
            f".save('{path.name}.keras')`. Received: model={str(path)!r}"
        )
    found = path / "best.keras" if path.is_dir() else path
    if not found.exists():
        raise FileNotFoundError(
            "Expected a `.keras` file, or the folder of a run that has saved one. "
            f"Received: model={str(path)!r}"
        )
    return found


def load_model(
    path: str | os.PathLike, kinds: tuple[type[ImageModel], ...] = (keras_encnet.SegmentationModel,)
) -> Any:
    """Loads a `.keras` file whose model takes raw images.

    Raises:
        ValueError: if the file is damaged, or its model is not of one of these classes or takes
            normalized images.
    """
    model = keras_files.load_model(path)
    if not isinstance(model, kinds):
        raise ValueError(
            f"Expected a {' or a '.join(kind.__name__ for kind in kinds)}. "
            f"Received: model={str(path)!r}, a {type(model).__name__}"
        )
    if model.preprocessing is None:
        raise ValueError(
            "Commands pass raw images to a model: build it with `include_preprocessing=True`, load "
            "its weights and save it again. "
            f"Received: model={str(path)!r}, built with include_preprocessing=False"
        )
    return model


def run_of(path: Path) -> dict[str, Any]:
    """Returns the configuration of the run that saved the model at `path`, empty if unknown."""
    return read_json(path.parent / "config.json", {})


def data_of_run(path: Path) -> str:
    """Returns the data set of the run that saved the model at `path`.

    Raises:
        ValueError: if the run is unknown.
    """
    config = run_of(path)
    if not config:
        raise ValueError(
            "The data set of this model is unknown, as there is no `config.json` next to it. "
            f"Specify it with --data. Received: model={str(path)!r}"
        )
    return config["data"]


def check_classes(
    model: keras.Model, class_names: Sequence[str], path: Path, data: str | os.PathLike
) -> None:
    """Raises ValueError if model and data differ in the number of classes; warns about names."""
    if model.classes != len(class_names):
        raise ValueError(
            f"The model has {model.classes} classes, the data {len(class_names)}. "
            f"Received: model={str(path)!r}, data={data!r}"
        )
    unnamed = tuple(str(i) for i in range(model.classes))
    if model.class_names == unnamed:
        return
    for i, (name, other) in enumerate(zip(model.class_names, class_names, strict=True)):
        if name != other:
            print(
                f"warning: class {i} is {name!r} in the model and {other!r} in {data}. Scores are "
                "meaningful only if the classes are the same",
                file=sys.stderr,
            )
            break
