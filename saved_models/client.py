"""Send images to an exported model on TensorFlow Serving and write its predictions.

python -m saved_models.client IMAGE_OR_FOLDER... --model NAME --rest http://localhost:8501
python -m saved_models.client IMAGE_OR_FOLDER... --model NAME --grpc localhost:8500 --in-flight 8
"""

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import tyro
from tqdm import tqdm

from saved_models.predictions import Result, describe_latencies, mask_paths, predict_files
from saved_models.rest_client import Client, RestClient, ServerError
from training import cli
from training.run import run_folder


@dataclasses.dataclass(frozen=True)
class Server:
    """The server, and the version of the model on it."""

    rest: str = "http://localhost:8501"
    """Address of the REST interface."""
    grpc: str | None = None
    """Address of the gRPC interface, used instead of REST if given."""
    version: int | None = None
    """Number of the version; by default the server selects one."""
    label: str | None = None
    """Label of the version, such as `canary`, instead of its number."""
    retries: int = 3
    """Number of retries while the server is busy or unreachable."""

    def client(self, model: str) -> Client:
        """Returns a client of a model on this server."""
        if self.version is not None and self.label is not None:
            raise ValueError(
                "`--version` and `--label` both select a version: give one of them. "
                f"Received: version={self.version}, label={self.label!r}"
            )
        if self.grpc is None:
            return RestClient(self.rest, model, self.version, self.label, self.retries)
        from saved_models.grpc_client import GrpcClient  # needs tensorflow-serving-api

        return GrpcClient(self.grpc, model, self.version, self.label, self.retries)


def main(
    images: tyro.conf.Positional[tuple[Path, ...]],
    model: str,
    server: tyro.conf.OmitArgPrefixes[Server] = Server(),
    output: Path = Path("predictions"),
    in_flight: int = 4,
) -> None:
    """Send images to an exported model on TensorFlow Serving and write its predictions.

    Masks are written to OUTPUT under the names of their images; those of images in a folder keep
    their path in the folder. `answers.json` in OUTPUT contains the other outputs. The exit status
    is 1 if any image has no prediction.

    Args:
        images: Image files, and folders to search for images.
        model: Name of the model on the server.
        server: The server, and the version of the model on it.
        output: Folder of the predictions.
        in_flight: Number of concurrent requests.
    """
    client = server.client(model)
    masks = mask_paths(images, output)
    try:
        print(f"{model}: {describe_model(client)}")
    except ServerError as error:
        raise SystemExit(f"error: {error}") from error
    began = time.perf_counter()
    requests = predict_files(client, masks, in_flight)
    results = list(tqdm(requests, total=len(masks), unit="image"))
    elapsed = time.perf_counter() - began
    run_folder.write_json(output / "answers.json", {str(r.path): r.record() for r in results})
    failed = print_summary(results, elapsed, output)
    sys.exit(1 if failed else 0)


def describe_model(client: Client) -> str:
    """Returns one line with the versions, outputs and number of classes of a model.

    Raises:
        ServerError: if the server does not reply, or the model does not accept image files.
    """
    states = client.status()
    inputs, outputs = client.signature()
    if inputs != {"image_bytes"}:
        raise ServerError(f"The model takes {sorted(inputs)}, not encoded images.")
    return f"{states}; outputs {', '.join(sorted(outputs))}; {len(client.class_names())} classes"


def print_summary(results: Sequence[Result], elapsed: float, output: Path) -> int:
    """Prints errors, latencies and counts, and returns the number of errors."""
    failed = [result for result in results if result.error is not None]
    for result in failed:
        print(f"{result.path}: {result.error}")
    print(describe_latencies(results, elapsed))
    predicted = len(results) - len(failed)
    print(f"{predicted} of {len(results)} images predicted, written to {output}")
    return len(failed)


if __name__ == "__main__":
    with cli.plain_errors():
        tyro.cli(main, prog="python -m saved_models.client")
