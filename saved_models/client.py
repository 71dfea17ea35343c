"""Send images to an exported model on TensorFlow Serving and write its predictions.

python -m saved_models.client IMAGE_OR_FOLDER... --model NAME --rest http://localhost:8501
python -m saved_models.client IMAGE_OR_FOLDER... --model NAME --grpc localhost:8500 --in-flight 8
"""

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import tyro
from tqdm import tqdm

from keras_encnet.utils.files import atomic_file, check_writable
from keras_encnet.utils.packages import import_optional
from saved_models.answers import Answers
from saved_models.predictions import MASK, describe_latencies, predict_files
from saved_models.rest_client import RestClient
from saved_models.server import RETRY_SECONDS, Client, ServerError, UnavailableError
from training import cli
from training.input.image_paths import check_results, find_images, result_path

RERUN = "The same command sends the images that have no prediction yet."


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
    retry_seconds: float = RETRY_SECONDS
    """Time for which a request is repeated while the server is unreachable, busy or restarting."""

    def client(self, model: str) -> Client:
        """Returns a client of a model on this server."""
        if self.version is not None and self.label is not None:
            raise ValueError(
                "`--version` and `--label` both select a version: give one of them. "
                f"Received: version={self.version}, label={self.label!r}"
            )
        if self.grpc is None:
            return RestClient(self.rest, model, self.version, self.label, self.retry_seconds)
        import_optional("tensorflow_serving.apis", "tensorflow-serving-api", "`--grpc`")
        from saved_models.grpc_client import GrpcClient

        return GrpcClient(self.grpc, model, self.version, self.label, self.retry_seconds)


def main(
    images: tyro.conf.Positional[tuple[Path, ...]],
    model: str,
    server: tyro.conf.OmitArgPrefixes[Server] = Server(),
    output: Path = Path("predictions"),
    in_flight: int = 4,
    overwrite: bool = False,
) -> None:
    """Send images to an exported model on TensorFlow Serving and write its predictions.

    Masks are written to OUTPUT under the names of their images; those of images in a folder keep
    their path in the folder. `answers.json` in OUTPUT contains the other outputs. Images that the
    same version of the model has predicted in an earlier call are not sent again. The exit status
    is 1 if any image has no prediction.

    Args:
        images: Image files, and folders to search for images.
        model: Name of the model on the server.
        server: The server, and the version of the model on it.
        output: Folder of the predictions.
        in_flight: Number of concurrent requests.
        overwrite: Repeat predictions and replace `answers.json`.
    """
    client = server.client(model)
    results = find_images(images, output)
    check_results(results, [".png"])
    check_writable(output)
    masks = {path: result_path(stem, ".png") for path, stem in results.items()}
    with plain_endings():
        version, outputs = describe_model(client, model)
        answers = Answers(output / "answers.json", version, overwrite)
        with_mask = MASK in outputs
        pending = {
            path: mask
            for path, mask in masks.items()
            if not answers.has(path, mask if with_mask else None)
        }
        if len(pending) < len(masks):
            print(f"{len(masks) - len(pending)} of {len(masks)} images are predicted already")
        with answers:
            failed = predict(client, pending, outputs, answers, in_flight)
    print(f"{len(masks) - failed} of {len(masks)} images predicted, written to {output}")
    sys.exit(1 if failed else 0)


def predict(
    client: Client,
    masks: Mapping[Path, Path],
    outputs: Set[str],
    answers: Answers,
    in_flight: int,
) -> int:
    """Predicts images, writes masks and other outputs, and returns the number of errors."""
    began = time.perf_counter()
    errors, seconds = 0, []
    results = predict_files(client, list(masks), outputs, in_flight)
    for result in tqdm(results, total=len(masks), unit="image"):
        if result.mask is not None:
            with atomic_file(masks[result.path]) as temporary:
                temporary.write_bytes(result.mask)
        if result.error is not None:
            tqdm.write(f"{result.path}: {result.error}")
            errors += 1
        answers.add(result)
        seconds.append(result.seconds)
    if seconds:
        print(describe_latencies(seconds, time.perf_counter() - began))
    return errors


def describe_model(client: Client, model: str) -> tuple[str, set[str]]:
    """Prints one line with the version, outputs and number of classes of a model.

    Returns:
        The name of the model with its version, and the names of its outputs.

    Raises:
        ServerError: if the server does not respond, or the model does not accept image files.
    """
    states = client.status()
    available = [number for number, state in states.items() if state == "AVAILABLE"]
    if not available:
        raise ServerError(f"No version of the model is available. Received: {states}")
    inputs, outputs = client.signature()
    if inputs != {"image_bytes"}:
        raise ServerError(
            "The model does not take encoded images: models of images with other than one or three "
            "channels, or with values outside 0 to 255, only take the tensors of the signature "
            f"`tensors`. Received: model={model!r}, whose signature for files takes "
            f"{sorted(inputs) or 'nothing'}"
        )
    version = f"{model}/{max(available)}"
    names = len(client.class_names())
    print(f"{version}: outputs {', '.join(sorted(outputs))}; {names} classes")
    return version, outputs


@contextlib.contextmanager
def plain_endings() -> Iterator[None]:
    """Exits with a sentence after an error of the server or a file, SIGINT or SIGTERM."""

    def interrupt(number, frame):
        raise KeyboardInterrupt(number)

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except UnavailableError as error:
        raise SystemExit(f"error: {error} {RERUN}") from error
    except ServerError as error:
        raise SystemExit(f"error: {error}") from error
    except OSError as error:  # such as a full disk
        raise SystemExit(f"error: {error}. {RERUN}") from error
    except KeyboardInterrupt as error:
        print(f"Interrupted. {RERUN}", file=sys.stderr)
        raise SystemExit(128 + (error.args or (signal.SIGINT,))[0]) from error
    finally:
        signal.signal(signal.SIGTERM, previous)


if __name__ == "__main__":
    with cli.plain_errors():
        tyro.cli(main, prog="python -m saved_models.client")
