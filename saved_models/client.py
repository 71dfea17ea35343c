"""Sends images to an exported model behind TensorFlow Serving, and writes what comes back.

python -m saved_models.client IMAGE_OR_FOLDER... --model NAME --rest http://localhost:8501
python -m saved_models.client IMAGE_OR_FOLDER... --model NAME --grpc localhost:8500 --in-flight 8
"""

import dataclasses
import time
from concurrent import futures
from pathlib import Path

import numpy as np
import tyro
from tqdm import tqdm

from keras_encnet.utils.files import atomic_file
from saved_models.rest_client import RestClient, ServerError
from training import cli
from training.run import run_folder

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


@dataclasses.dataclass
class Result:
    """What became of one image: a dict of outputs or a sentence, and the seconds that it took."""

    path: Path
    answer: dict
    error: str | None
    seconds: float


def main(
    images: tyro.conf.Positional[tuple[Path, ...]],
    model: str,
    rest: str = "http://localhost:8501",
    grpc: str | None = None,
    version: int | None = None,
    label: str | None = None,
    output: Path = Path("predictions"),
    in_flight: int = 4,
    retries: int = 3,
):
    """Sends images to an exported model behind TensorFlow Serving, and writes what comes back.

    A mask goes to `<output>/<name>.png` for an image file that was named, and
    to the same place below `<output>` as it had below a folder that was named.
    `<output>/answers.json` tells what the server said of each image beside
    its mask. Ends with 1 if any image got no answer.

    Args:
        images: files, and folders that are searched for them.
        model: its name.
        rest: address of the REST interface.
        grpc: address of the gRPC interface, to be used instead.
        version: number of a version; the served one by default.
        label: label of a version, such as `canary`, instead of a number.
        output: folder of the results.
        in_flight: requests at a time.
        retries: how often to try again where the server is busy or away.
    """
    if version is not None and label is not None:
        raise ValueError(
            "`--version` and `--label` both name the version: give one. "
            f"Received: version={version}, label={label!r}"
        )
    files = find_images(images)
    masks = {path: output / name for path, name in files.items()}
    over = {path.resolve() for path in files} & {mask.resolve() for mask in masks.values()}
    if over:
        raise ValueError(
            "These images would be overwritten by masks: choose another `--output`. "
            f"Received: {sorted(map(str, over))[:10]}"
        )
    if grpc:
        from saved_models.grpc_client import GrpcClient  # which imports TensorFlow

        client = GrpcClient(grpc, model, version, label, retries)
    else:
        client = RestClient(rest, model, version, label, retries)
    try:
        states = client.status()
        inputs, outputs = client.signature()
        names = client.class_names()
    except ServerError as error:
        raise SystemExit(f"error: {error}") from error
    if inputs != {"image_bytes"}:
        raise SystemExit(f"error: {model} takes {sorted(inputs)}, not encoded images")
    print(f"{model}: {states}, answers with {', '.join(sorted(outputs))}; {len(names)} classes")

    began = time.perf_counter()
    results = []
    with futures.ThreadPoolExecutor(in_flight) as pool:
        jobs = [pool.submit(process, client, path, mask) for path, mask in masks.items()]
        for job in tqdm(futures.as_completed(jobs), total=len(jobs), unit="image"):
            results.append(job.result())
    elapsed = time.perf_counter() - began
    answers = {str(r.path): r.answer if r.error is None else {"error": r.error} for r in results}
    run_folder.write_json(output / "answers.json", answers)
    failed = [result for result in results if result.error is not None]
    for result in failed:
        print(f"{result.path}: {result.error}")
    print(timings([result.seconds for result in results], elapsed))
    print(f"{len(results) - len(failed)} of {len(results)} images answered, written to {output}")
    if failed:
        raise SystemExit(1)


def find_images(paths):
    """Maps image files to where their masks belong, below the output folder.

    Raises:
        FileNotFoundError: for a path that doesn't exist, or if there is no image.
        ValueError: if two masks would have one place.
    """
    places = {}
    for path in paths:
        if path.is_dir():
            found = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES)
            places |= {p: p.relative_to(path).with_suffix(".png") for p in found}
        elif path.exists():
            places[path] = Path(path.stem + ".png")
        else:
            raise FileNotFoundError(f"There is no such file or folder. Received: {str(path)!r}")
    if not places:
        raise FileNotFoundError(
            f"No files with the suffixes {', '.join(SUFFIXES)}. Received: "
            f"{', '.join(map(str, paths))}"
        )
    masks = list(places.values())
    twice = sorted({str(mask) for mask in masks if masks.count(mask) > 1})
    if twice:
        raise ValueError(f"Images of one name would share a mask. Received: {twice[:10]}")
    return places


def process(client, path, mask):
    """Has one image answered and writes its mask, if there is one."""
    began = time.perf_counter()
    try:
        [answer] = client.predict([path.read_bytes()])
        error = None if answer["status"] == "ok" else answer["status"]
    except (ServerError, OSError) as problem:
        answer, error = {}, str(problem)
    seconds = time.perf_counter() - began
    png = answer.pop("mask_png_bytes", None)
    if png and error is None:
        with atomic_file(mask) as temporary:
            temporary.write_bytes(png)
    answer = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in answer.items()}
    return Result(path, answer, error, seconds)


def timings(seconds, elapsed):
    """Returns a line of latencies and throughput."""
    p50, p90, p99 = np.percentile(seconds, [50, 90, 99])
    return (
        f"seconds an image: p50 {p50:.3f}, p90 {p90:.3f}, p99 {p99:.3f}, max {max(seconds):.3f}; "
        f"{len(seconds) / elapsed:.2f} images/s"
    )


if __name__ == "__main__":
    with cli.plain_errors():
        tyro.cli(main)
