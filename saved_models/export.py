"""Export a trained model for TensorFlow Serving.

python -m saved_models.export MODEL --name NAME
python -m saved_models.export MODEL --name NAME --size 512 512 --fixed-size --precision bfloat16
"""

import dataclasses
import re
from pathlib import Path
from typing import Literal

import tyro

from keras_encnet.export import Limits, export_saved_model, write_configuration
from keras_encnet.utils.files import check_writable
from saved_models.provenance import origin_of, scores_of
from training import cli
from training.run import trained_models


@dataclasses.dataclass(frozen=True)
class Graph:
    """The exported graph."""

    size: int | tuple[int, int] | Literal["native"] | None = None
    """Long side, or height and width, that encoded images are resized to; native keeps their size.
    By default the input size or the working size of the model."""
    fixed_size: bool = False
    """Require that size for tensors as well, so that a server can batch them."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the feature maps. bfloat16 halves the file, and is faster on processors that
    support it."""
    fold: bool = True
    """Fold batch normalization into the convolutions."""
    freeze: bool = True
    """Store variables as constants, which takes less time per image in float32, more memory and
    more time to load."""
    probabilities: bool = False
    """Return the class probabilities of each pixel from the signatures for tensors as well."""
    warm_up: tuple[int, ...] = (1,)
    """Batch sizes of the requests that the server runs before the version is available."""


def main(
    model: tyro.conf.Positional[Path],
    name: str,
    version: int | None = None,
    graph: tyro.conf.OmitArgPrefixes[Graph] = Graph(),
    limits: Limits = Limits(),  # noqa: B008
    origin: str | None = None,
    scores: Path | None = None,
    folder: Path = Path("saved_models"),
) -> None:
    """Export a trained model for TensorFlow Serving.

    Writes FOLDER/NAME/VERSION atomically, and `models.config` and `batching.config` in FOLDER/NAME
    unless they exist. Existing versions are not overwritten.

    Args:
        model: Run folder (its best model), or `.keras` file.
        name: Name of the model on the server.
        version: Positive integer; by default one more than the highest existing version.
        graph: The exported graph.
        limits: Limits on one request.
        origin: Origin of the weights for the model card; by default the file and its run.
        scores: JSON file with scores for the model card; by default the newest evaluation.
        folder: Folder of all exported models.
    """
    check_name(name)
    path = trained_models.find_model(model)
    target = folder / name / str(checked_version(version, folder / name))
    check_writable(target)
    network = trained_models.load_model(path, trained_models.KINDS)
    export = export_saved_model(
        network,
        target,
        **vars(graph),
        limits=limits,
        origin=origin or origin_of(path),
        scores=scores_of(path, scores),
    )
    write_configuration(target.parent, export)
    if not export["encoded_images"]:
        print(
            "the model takes tensors only: encoded images are gray or RGB, in 0 to 255, and those "
            f"of this model have {export['channels']} channels"
            + (f" with the mean {export['mean']}" if export["mean"] else "")
        )
    print(f"written to {target}; see {target / 'model_card.md'}")


def check_name(name: str) -> None:
    """Raises ValueError unless `name` can be part of URLs and paths."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ValueError(
            "`--name` is part of URLs and paths and must consist of letters, digits, '_', '-' and "
            f"'.'. Received: name={name!r}"
        )


def checked_version(version: int | None, folder: Path) -> int:
    """Returns `version`, by default the highest version in `folder` plus 1."""
    if version is None:
        numbers = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
        return max(numbers, default=0) + 1
    if version < 1:
        raise ValueError(f"`--version` must be a positive integer. Received: version={version}")
    return version


if __name__ == "__main__":
    with cli.plain_errors():
        tyro.cli(main, prog="python -m saved_models.export")
