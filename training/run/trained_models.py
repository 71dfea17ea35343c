"""Models that runs have saved, and what the runs tell of them."""

import sys
import zipfile
from pathlib import Path

import keras

import keras_encnet
from training.run import run_folder

# What this package trains.
KINDS = (keras_encnet.SegmentationModel, keras_encnet.ClassificationModel)


def find_model(path):
    """Returns the path of the model that `path`, a run folder or a `.keras` file, means."""
    path = Path(path)
    found = path / "best.keras" if path.is_dir() else path
    if not found.exists():
        raise FileNotFoundError(
            "Expected a `.keras` file, or the folder of a run that has saved one. "
            f"Received: model={str(path)!r}"
        )
    return found


def load_model(path, kinds=(keras_encnet.SegmentationModel,)):
    """Loads a `.keras` file.

    Raises:
        ValueError: unless it is one, with a model of one of these kinds.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "Expected a `.keras` file, and this one is damaged or something else. "
            f"Received: model={str(path)!r}"
        )
    model = keras.models.load_model(path)
    if not isinstance(model, kinds):
        raise ValueError(
            f"Expected a {' or a '.join(kind.__name__ for kind in kinds)}. "
            f"Received: model={str(path)!r}, a {type(model).__name__}"
        )
    return model


def run_of(path):
    """Returns the configuration of the run that saved the model at `path`; empty if unknown."""
    return run_folder.read_json(path.parent / "config.json") or {}


def data_of_run(path):
    """Returns on what data the run that saved the model at `path` was trained."""
    config = run_of(path)
    if not config:
        raise ValueError(
            "There is no `config.json` beside the model that tells what it was trained on: name "
            f"the data with --data. Received: model={str(path)!r}"
        )
    return config["data"]


def check_classes(network, images, path, data):
    """Raises ValueError unless model and data agree on the number of classes; warns of names."""
    if network.classes != len(images.class_names):
        raise ValueError(
            f"The model knows {network.classes} classes and the data has "
            f"{len(images.class_names)}. Received: model={str(path)!r}, data={data!r}"
        )
    unnamed = tuple(str(i) for i in range(network.classes))
    for i, pair in enumerate(zip(network.class_names, images.class_names, strict=True)):
        if network.class_names != unnamed and pair[0] != pair[1]:
            print(
                f"warning: class {i} is {pair[0]!r} to the model and {pair[1]!r} in {data}: "
                "scores mean something only if both are names of one class",
                file=sys.stderr,
            )
            break
