"""Exports a trained model for TensorFlow Serving, whole or not at all.

python -m saved_models.export MODEL --name NAME
python -m saved_models.export MODEL --name NAME --size 512 512 --fixed-size --precision bfloat16
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Literal

import tyro

from keras_encnet.export import Limits, export_saved_model, write_configuration
from training import cli
from training.run import trained_models


def main(
    model: tyro.conf.Positional[Path],
    name: str,
    version: int | None = None,
    size: tuple[int, int] | None = None,
    fixed_size: bool = False,
    precision: Literal["float32", "bfloat16"] = "float32",
    fold: bool = True,
    freeze: bool = True,
    probabilities: bool = False,
    warm_up: tuple[int, ...] = (1,),
    limits: Limits = Limits(),  # noqa: B008
    origin: str | None = None,
    scores: Path | None = None,
    folder: Path = Path("saved_models"),
):
    """Exports a trained model for TensorFlow Serving, whole or not at all.

    Writes `<folder>/<name>/<version>/`, and beside the versions `models.config`
    and `batching.config` where they don't exist yet.

    Args:
        model: a run folder, whose best model is meant, or a `.keras` file.
        name: what clients call the model.
        version: a positive integer; the one after the highest by default. A
            version that exists is never written over.
        size: height and width that encoded images are resized to; 512 512 by
            default, or what the model's input says.
        fixed_size: whether tensors must have that size, too, which lets a
            server put them together in batches.
        precision: of the feature maps. bfloat16 pays on CPUs with AVX512-BF16
            or AMX and on GPUs from Ampere on.
        fold: fold batch normalization into the convolutions.
        freeze: store variables as constants.
        probabilities: `tensors` also answers with those of each pixel.
        warm_up: batch sizes of the requests that the server answers before it
            says that it is ready; empty for none.
        limits: what one request may ask for.
        origin: where the weights come from, for the model card; by default
            file, hash and, of a run, its recipe.
        scores: a JSON file for the model card; by default the newest
            evaluation of this model in the run folder, if there is one.
        folder: where the models lie.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ValueError(
            "`--name` is part of addresses and paths: letters, digits, '_', '-' and '.'. "
            f"Received: name={name!r}"
        )
    path = trained_models.find_model(model)
    version = next_version(folder / name) if version is None else version
    if version < 1:
        raise ValueError(f"`--version` must be a positive integer. Received: version={version}")
    network = trained_models.load_model(path, trained_models.KINDS)
    target = folder / name / str(version)
    export = export_saved_model(
        network,
        target,
        size=size,
        fixed_size=fixed_size,
        precision=precision,
        fold=fold,
        freeze=freeze,
        probabilities=probabilities,
        limits=limits,
        warm_up=warm_up,
        origin=origin or origin_of(path),
        scores=scores_of(path, scores),
    )
    write_configuration(target.parent, export)
    print(f"written to {target}; see {target / 'model_card.md'}")


def next_version(folder):
    """Returns the version after the highest in `folder`, 1 in a new one."""
    versions = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return max(versions, default=0) + 1


# Where things were on the machine that trained is no business of clients: their names will do.
PLACES = ("data", "data_dir", "run_dir", "start_from", "backbone_weights", "model")


def without_places(record):
    """Returns a record of a run with names in the place of paths."""
    return {k: Path(v).name if k in PLACES and v is not None else v for k, v in record.items()}


def origin_of(path):
    """Says what is known of a `.keras` file: its name, its hash, and the recipe of its run."""
    text = f"`{path.name}`, SHA-256 `{hashlib.sha256(path.read_bytes()).hexdigest()}`."
    config = trained_models.run_of(path)
    if config:
        text += f" Trained with:\n\n```json\n{json.dumps(without_places(config), indent=2)}\n```"
    return text


def scores_of(path, scores):
    """Returns the scores of the JSON file `scores`, or of the model's newest evaluation, or None.

    The evaluations of a run may be those of another of its models, or older than this one.
    """
    if scores is not None:
        return json.loads(scores.read_text())
    written = path.stat().st_mtime
    files = [f for f in path.parent.glob("evaluation*/scores.json") if f.stat().st_mtime >= written]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        found = json.loads(file.read_text())
        if Path(found.get("model", "")).name == path.name:
            return without_places(found)
    return None


if __name__ == "__main__":
    with cli.plain_errors():
        tyro.cli(main)
