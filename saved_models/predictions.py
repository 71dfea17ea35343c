"""Prediction of image files on a server: masks, other outputs, errors and latencies."""

import dataclasses
import functools
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from saved_models.server import Client, ServerError, UnavailableError, expected_structure
from training.input.image_paths import explain

MASK = "mask_png_bytes"


@dataclasses.dataclass(frozen=True)
class Result:
    """The prediction of one image.

    Attributes:
        path: the image file.
        outputs: the outputs except for the mask, for JSON. Empty after an error.
        mask: the mask, an encoded PNG, if the model predicts one.
        error: why there is no prediction, or None.
        available: whether the server was available.
        seconds: latency of the request, with repetitions.
    """

    path: Path
    outputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mask: bytes | None = None
    error: str | None = None
    available: bool = True
    seconds: float = 0.0


def predict_files(
    client: Client, paths: Sequence[Path], outputs: Set[str], in_flight: int = 1
) -> Iterator[Result]:
    """Sends image files to a server and yields results as they arrive.

    Args:
        client: the client of a model.
        paths: the image files.
        outputs: names of the outputs of the model.
        in_flight: number of concurrent requests.

    Raises:
        UnavailableError: if the server is unavailable for `in_flight` requests and the next one.
    """
    predict = functools.partial(predict_file, client, outputs=outputs)
    failures = 0
    # Threads of this pool end with the program, even if a server never responds.
    with ThreadPool(in_flight) as pool:
        for result in pool.imap_unordered(predict, paths):
            yield result
            failures = 0 if result.available else failures + 1
            if failures > in_flight:
                raise UnavailableError(f"The server is unavailable. {result.error}")


def predict_file(client: Client, path: Path, outputs: Set[str]) -> Result:
    """Sends one image file to a server."""
    began = time.perf_counter()
    try:
        with expected_structure():
            [prediction] = client.predict([path.read_bytes()])
            result = _checked(path, prediction, outputs)
    except (ServerError, OSError) as failure:
        available = not isinstance(failure, UnavailableError)
        result = Result(path, error=str(failure) or repr(failure), available=available)
    return dataclasses.replace(result, seconds=time.perf_counter() - began)


def _checked(path, prediction, outputs):
    """Returns the result for an image from its outputs, which may have any structure."""
    missing = outputs - prediction.keys()
    if missing:
        raise LookupError(f"outputs {sorted(missing)} are missing")
    status, mask = prediction["status"], prediction.get(MASK)
    if not isinstance(status, str):
        raise TypeError(f"status={status!r:.100} is not a string")
    if status != "ok":
        return Result(path, error=explain(status))
    if MASK in outputs:
        _check_png(mask)
    others = {name: value for name, value in prediction.items() if name != MASK}
    json.dumps(others, allow_nan=False)  # raises for numbers that are not finite
    return Result(path, others, mask)


def _check_png(data):
    """Raises ValueError unless the bytes are a complete PNG."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
        is_complete = data[-8:-4] == b"IEND"  # which Pillow does not require
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        is_complete = False
    if not is_complete:
        raise ValueError("the mask is not a complete PNG")


def describe_latencies(seconds: Sequence[float], elapsed: float) -> str:
    """Returns one line with the percentiles of latencies, and the throughput."""
    p50, p90, p99 = np.percentile(seconds, [50, 90, 99])
    return (
        f"seconds per image: p50 {p50:.3f}, p90 {p90:.3f}, p99 {p99:.3f}, max {max(seconds):.3f}; "
        f"{len(seconds) / elapsed:.2f} images/s"
    )
