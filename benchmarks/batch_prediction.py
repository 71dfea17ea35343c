"""Images per second of batch prediction, of the client of a server, and of `training.predict`.

    python -m benchmarks.batch_prediction runs/folder_encnet50 FOLDER [--count 1000]

Each command predicts the same files of a folder, after another, on all cores. The time of the same
command for one image, its start, is subtracted. The server is the tests' stand-in for TensorFlow
Serving, on the same machine. `training.predict` also writes overlays.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from keras_encnet.export import export_saved_model
from training.input.image_paths import find_images
from training.run import trained_models

BASELINE = "batch, one process"


def main(model: tyro.conf.Positional[Path], images: tyro.conf.Positional[Path], count: int = 1000):
    """Compares the commands.

    Args:
        model: Run folder, or `.keras` file.
        images: Folder of images.
        count: Number of files; a folder with fewer images is repeated.
    """
    found = [path.resolve() for path in find_images([images], Path("none"))]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name, paths in {
            "many": list(itertools.islice(itertools.cycle(found), count)),
            "one": found[:1],
        }.items():
            link_images(paths, scratch / name)
        path = trained_models.find_model(model)
        export_saved_model(trained_models.load_model(path), scratch / "models/net/1")
        with server(scratch / "models/net") as address:
            commands = commands_of(path, scratch / "models/net", address)
            seconds = {
                name: seconds_of(name, command, scratch) for name, command in commands.items()
            }
        for name, value in seconds.items():
            agreement = agreement_of(scratch / f"{name} many", scratch / f"{BASELINE} many")
            print(
                f"{name:20} {(count - 1) / value:6.2f} images/s, "
                f"{seconds[BASELINE] / value:.2f} times as many as {BASELINE}; "
                f"{agreement:.4%} of the pixels agree"
            )


def link_images(paths: Sequence[Path], folder: Path) -> None:
    """Links images to a folder under names of their own."""
    folder.mkdir()
    for i, path in enumerate(paths):
        (folder / f"{i:06}{path.suffix}").symlink_to(path)


def commands_of(path: Path, exported: Path, address: str) -> dict[str, list[str]]:
    """Returns the commands by name, to which images and `--output` are added."""
    workers = [f"--direct_num_workers={os.cpu_count()}", "--direct_running_mode=multi_processing"]
    batch = ["saved_models.batch", "IMAGES", "OUTPUT", f"--model={exported}"]
    client = ["saved_models.client", "IMAGES", "--output=OUTPUT", f"--model={exported.name}"]
    return {
        BASELINE: batch,
        "batch, processes": [*batch, *workers],
        "client, gRPC": [*client, f"--grpc={address}", f"--in-flight={os.cpu_count()}"],
        "training.predict": ["training.predict", str(path), "IMAGES", "--output=OUTPUT"],
    }


def seconds_of(name: str, command: Sequence[str], scratch: Path) -> float:
    """Returns the time of a command for all images, without that for one image."""
    seconds = {}
    for images in ("one", "many"):
        places = {"IMAGES": str(scratch / images), "OUTPUT": str(scratch / f"{name} {images}")}
        arguments = [places.get(word, word.replace("OUTPUT", places["OUTPUT"])) for word in command]
        threads = {"TF_NUM_INTRAOP_THREADS": "1"} if name == "batch, processes" else {}
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", *arguments],
            check=True,
            capture_output=True,
            env={**os.environ, **threads},
        )
        seconds[images] = time.perf_counter() - began
    return seconds["many"] - seconds["one"]


@contextlib.contextmanager
def server(exported: Path) -> Iterator[str]:
    """Runs the stand-in for TensorFlow Serving and yields its address."""
    command = [sys.executable, "-m", "tests.saved_models.stand_in", str(exported)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield f"localhost:{json.loads(process.stdout.readline())['grpc']}"
        finally:
            process.stdin.close()


def agreement_of(folder: Path, other: Path) -> float:
    """Returns the share of pixels with the same class in the masks of two commands."""
    equal = [
        (np.asarray(Image.open(mask_of(folder, stem))) == np.asarray(Image.open(path))).mean()
        for path in sorted((other / "masks").glob("*.png"))
        for stem in [path.name.partition(".")[0]]
    ]
    return float(np.mean(equal))


def mask_of(folder: Path, stem: str) -> Path:
    """Returns the mask of an image in the output of any of the commands."""
    found = [folder / f"{stem}.png", *folder.glob(f"masks/{stem}.*.png")]
    return next(path for path in found if path.exists())


if __name__ == "__main__":
    tyro.cli(main)
