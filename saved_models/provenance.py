"""Origin, training data and scores of a trained model, for its cards."""

import hashlib
import json
from pathlib import Path
from typing import Any

from keras_encnet.utils.files import read_json
from training.run import trained_models

# Options with paths of the machine that trained. An export shows only the last part of each.
PATHS = ("data", "data_dir", "run_dir", "start_from", "backbone_weights", "model")


def origin_of(path: Path) -> str:
    """Returns the name and hash of a `.keras` file and the configuration of its run, if any."""
    text = f"`{path.name}`, SHA-256 `{hashlib.sha256(path.read_bytes()).hexdigest()}`."
    config = trained_models.run_of(path)
    if config:
        config = _without_folders(config)
        text += f" Trained with:\n\n```json\n{json.dumps(config, indent=2)}\n```"
    return text


def data_of(path: Path) -> str:
    """Returns name and size of the training data of the run that saved a model, in Markdown."""
    name = _without_folders(trained_models.run_of(path)).get("data")
    if name is None:
        return "Not specified."
    splits = read_json(path.parent / "data.json", {})
    sizes = [f"{len(split['images'])} images in the split `{key}`" for key, split in splits.items()]
    return ": ".join([f"`{name}`", *filter(None, [", ".join(sizes)])])


def scores_of(path: Path, scores: Path | None = None) -> dict[str, Any] | None:
    """Returns the scores of a model.

    Args:
        path: the `.keras` file.
        scores: JSON file with the scores. Defaults to the newest evaluation of the model in its
            folder.

    Returns:
        The content of the JSON file, or None if the model has not been evaluated.
    """
    if scores is not None:
        return read_json(scores)
    # An evaluation of the run may be of another model, or of an earlier one of the same name.
    saved = path.stat().st_mtime
    files = [f for f in path.parent.glob("evaluation*/scores.json") if f.stat().st_mtime >= saved]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        found = read_json(file)
        if Path(found.get("model", "")).name == path.name:
            return _without_folders(found)
    return None


def _without_folders(record):
    return {k: Path(v).name if k in PATHS and v is not None else v for k, v in record.items()}
