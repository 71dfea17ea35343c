"""Opens the models that the command names."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from saved_models.demo.models import EncodedModel, KerasModel, Model
from saved_models.demo.uploads import PageLimits
from saved_models.grpc_client import GrpcClient
from saved_models.rest_client import RestClient
from saved_models.saved_model_client import SavedModelClient
from saved_models.server import Client
from training.run import trained_models

RETRY_SECONDS = 5.0  # for which a person waits before the page states that a server is unreachable
ADDRESS = re.compile(
    r"(?P<scheme>https?|grpc)://(?P<address>[^\s?#]+?)/v1/models/(?P<model>[^/:\s?#]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:\s?#]+))?/?"
)


def open_models(sources: Sequence[str], limits: PageLimits) -> list[Model]:
    """Opens models, and gives those with the same name a number each.

    Args:
        sources: what `open_model` takes.
        limits: limits on one image.

    Raises:
        OSError: if a file or folder does not exist.
        ValueError: if a source is something else.
    """
    models = [open_model(source, limits) for source in sources]
    counts = Counter(model.name for model in models)
    numbers: Counter = Counter()
    for model in models:
        numbers[model.name] += 1
        if counts[model.name] > 1:
            model.name += f" ({numbers[model.name]})"
    return models


def open_model(source: str, limits: PageLimits) -> Model:
    """Opens one model. A server is not contacted before the first image.

    Args:
        source: folder of a run, `.keras` file, folder of a SavedModel or of its versions, or
            address of a model on TensorFlow Serving.
        limits: limits on one image.

    Raises:
        OSError: if the file or folder does not exist.
        ValueError: if it is something else.
    """
    if "://" in source and not source.startswith("hf://"):
        client = connect(source)
        return EncodedModel(_with_version(client), client)
    exported = find_saved_model(Path(source))
    if exported is not None:
        name, number = exported.absolute().parts[-2:]
        version = int(number) if number.isdecimal() else None
        return EncodedModel(f"{name}/{number}", SavedModelClient(str(exported), name, version))
    path = trained_models.find_model(source)
    name = path.absolute().parent.name if path.name == "best.keras" else path.stem
    return KerasModel(name, trained_models.load_model(path), limits)


def connect(address: str) -> Client:
    """Returns the client of a model on TensorFlow Serving.

    Raises:
        ValueError: if the address is not that of a model.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(
            "Expected the address of a model on TensorFlow Serving, such as "
            "`http://localhost:8501/v1/models/street` or `grpc://localhost:8500/v1/models/street`, "
            f"optionally with `/versions/2` or `/labels/canary`. Received: model={address!r}"
        )
    is_grpc = match["scheme"] == "grpc"
    kind: type[Client] = GrpcClient if is_grpc else RestClient
    return kind(
        match["address"] if is_grpc else f"{match['scheme']}://{match['address']}",
        match["model"],
        version=None if match["version"] is None else int(match["version"]),
        label=match["label"],
        retry_seconds=RETRY_SECONDS,
    )


def find_saved_model(path: Path) -> Path | None:
    """Returns the folder of a SavedModel, or of the highest version in it; None without one."""
    versions = [file.parent for file in path.glob("*/saved_model.pb")]
    numbered = [version for version in versions if version.name.isdecimal()]
    if (path / "saved_model.pb").is_file():
        return path
    return max(numbered, key=lambda version: int(version.name), default=None)


def _with_version(client):
    part = client.label if client.version is None else client.version
    return client.model if part is None else f"{client.model}/{part}"
