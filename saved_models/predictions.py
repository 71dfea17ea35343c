"""Prediction of image files on a server: masks, other outputs, errors and latencies."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np

from keras_encnet.utils.files import atomic_file
from saved_models.rest_client import Client, ServerError

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


@dataclasses.dataclass(frozen=True)
class Result:
    """The prediction of one image.

    Attributes:
        path: the image file.
        outputs: the outputs except for the mask, for JSON. Empty after an error.
        error: why there is no prediction, or None.
        seconds: latency of the request.
    """

    path: Path
    outputs: dict[str, Any]
    error: str | None
    seconds: float

    def record(self) -> dict[str, Any]:
        """Returns the outputs, or the error, for JSON."""
        return self.outputs if self.error is None else {"error": self.error}


def find_images(paths: Iterable[Path]) -> dict[Path, Path]:
    """Returns the image files in `paths` with the paths of their masks in the output folder.

    Args:
        paths: files, and folders to search for files.

    Raises:
        FileNotFoundError: if a path does not exist or there are no images.
        ValueError: if two images would have the same mask.
    """
    paths = list(paths)
    masks: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            found = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES)
            masks |= {p: p.relative_to(path).with_suffix(".png") for p in found}
        elif path.exists():
            masks[path] = Path(path.stem + ".png")
        else:
            raise FileNotFoundError(f"File or folder not found. Received: {str(path)!r}")
    if not masks:
        raise FileNotFoundError(
            f"No images with the suffixes {', '.join(SUFFIXES)}. "
            f"Received: {', '.join(map(str, paths))}"
        )
    names = list(masks.values())
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Several images would have the same mask. Received: {twice[:10]}")
    return masks


def mask_paths(paths: Iterable[Path], output: Path) -> dict[Path, Path]:
    """Returns the image files in `paths` with the paths of their masks.

    Raises:
        FileNotFoundError: if a path does not exist or there are no images.
        ValueError: if a mask would overwrite another mask or an image.
    """
    masks = {path: output / name for path, name in find_images(paths).items()}
    overwritten = {path.resolve() for path in masks} & {mask.resolve() for mask in masks.values()}
    if overwritten:
        raise ValueError(
            "These images would be overwritten by masks: choose another `--output`. "
            f"Received: {sorted(map(str, overwritten))[:10]}"
        )
    return masks


def predict_files(
    client: Client, masks: Mapping[Path, Path], in_flight: int = 1
) -> Iterator[Result]:
    """Sends image files to a server, writes their masks, and yields results as they arrive.

    Args:
        client: the client of a model.
        masks: path of the mask by path of the image.
        in_flight: number of concurrent requests.
    """
    with futures.ThreadPoolExecutor(in_flight) as pool:
        jobs = [pool.submit(predict_file, client, *paths) for paths in masks.items()]
        for job in futures.as_completed(jobs):
            yield job.result()


def predict_file(client: Client, path: Path, mask: Path) -> Result:
    """Sends one image file to a server and writes its mask, if the prediction has one."""
    began = time.perf_counter()
    try:
        [outputs] = client.predict([path.read_bytes()])
        error = None if outputs["status"] == "ok" else outputs["status"]
    except (ServerError, OSError) as failure:
        outputs, error = {}, str(failure)
    seconds = time.perf_counter() - began
    png = outputs.pop("mask_png_bytes", None)
    if png and error is None:
        with atomic_file(mask) as temporary:
            temporary.write_bytes(png)
    outputs = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in outputs.items()}
    return Result(path, outputs, error, seconds)


def describe_latencies(results: Sequence[Result], elapsed: float) -> str:
    """Returns one line with the percentiles of latencies, and the throughput."""
    seconds = [result.seconds for result in results]
    p50, p90, p99 = np.percentile(seconds, [50, 90, 99])
    return (
        f"seconds per image: p50 {p50:.3f}, p90 {p90:.3f}, p99 {p99:.3f}, max {max(seconds):.3f}; "
        f"{len(seconds) / elapsed:.2f} images/s"
    )
