"""Reading of models and weights that Keras has saved, with errors that name the file."""

import os
import re
import zipfile
from pathlib import Path

import keras


def load_model(path: str | os.PathLike) -> keras.Model:
    """Loads a `.keras` file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it is damaged, of another format, or requires unknown classes.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"The `.keras` file does not exist. Received: model={str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} has a wrong checksum")
        return keras.models.load_model(path)
    except Exception as error:  # damaged files make reading fail in many ways
        raise ValueError(
            f"Could not load the model: {_reason(error)}. Received: model={str(path)!r}"
        ) from error


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Loads weights into a model.

    Args:
        model: the model.
        path: a `.weights.h5` file of the same model, or a `.keras` file.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is damaged, of another format, or of another model.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"The weights do not exist. Received: weights={str(path)!r}")
    try:
        model.load_weights(path)
    except Exception as error:
        raise ValueError(
            f"The weights cannot be loaded into {model.name!r}: the file is damaged, of another "
            f"format, or of another model ({first_sentence(error)}). "
            f"Received: weights={str(path)!r}"
        ) from error


def _reason(error):
    foreign = re.search(r"Could not locate (?:class|function) '(\w+)'", str(error))
    if foreign:
        return (
            f"it requires {foreign[1]!r}, which is not registered: import the module that defines "
            "it first"
        )
    return (
        f"{first_sentence(error)}. Expected a `.keras` file, but this file is damaged or of "
        "another format"
    )


def first_sentence(error: Exception) -> str:
    """Returns the start of a message, since Keras appends weights and configurations."""
    return re.split(r"\.\s|\n", str(error) or type(error).__name__)[0][:200]
