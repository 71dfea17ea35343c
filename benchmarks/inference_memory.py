"""Peak memory and time of inference on photos of 1, 3 and 12 megapixels.

    python -m benchmarks.inference_memory [--checkout FOLDER]

EncNet50 with 150 classes and random weights; every measurement in a separate process. `predict`
and `explain` are the command `training.predict`, the latter with `--explain`; `segment` and
`window` are `SegmentationModel.segment`, the latter in windows of 1024x1024; `multi_scale` is
`MultiScaleSegmenter` with the protocol of mmsegmentation, sliding windows, and the scales 1 and
1.75 of the photo, without mirror images. `--checkout` measures another version of this repository.
"""

import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tabulate
import tyro
from PIL import Image

from benchmarks.random_models import smooth_noise

SIZES = {1: (1000, 1000), 3: (1500, 2000), 12: (3000, 4000)}
BUILD = "import keras_encnet; m = keras_encnet.EncNet50(classes=150, backbone_weights=None); "
READ = "import sys, numpy, PIL.Image; x = numpy.asarray(PIL.Image.open(sys.argv[2])); "
# Python code by task; its arguments are the path of the model and that of the photo.
CODE = {
    "segment": "m.segment(x)",
    "window": "m.segment(x, window=1024)",
    "multi_scale": "keras_encnet.MultiScaleSegmenter(m, base_size='native', scales=(1, 1.75), "
    "flip=False, protocol='mmsegmentation', window='slide')(x.astype('float32'))",
}
OPTIONS = {"predict": [], "explain": ["--explain"]}


def main(
    tasks: tuple[Literal["predict", "explain", "segment", "window", "multi_scale"], ...] = (
        "predict",
        "explain",
        "segment",
        "window",
        "multi_scale",
    ),
    megapixels: tuple[Literal[1, 3, 12], ...] = (1, 3, 12),
    checkout: Path = Path(),
    limit: int = 18,
):
    """Prints a table of peak memory and seconds.

    Args:
        tasks: What to measure.
        megapixels: Sizes of the photos.
        checkout: Root of the version of this repository to measure.
        limit: Limit of the memory of a process in GiB, after which it fails.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = model, _ = [f"{folder}/model.keras", f"{folder}/photo.png"]
        run = functools.partial(peak_and_seconds, checkout=checkout, limit=limit)
        loaded, _ = run(["-c", BUILD + "import sys; m.save(sys.argv[1])", model])
        for size in megapixels:
            Image.fromarray(smooth_noise(1, *SIZES[size])[0]).save(paths[1])
            for task in tasks:
                if task in OPTIONS:
                    output = ["--output", f"{folder}/{task}", *OPTIONS[task]]
                    command = ["-m", "training.predict", *paths, *output]
                else:
                    command = ["-c", BUILD + READ + CODE[task], *paths]
                peak, seconds = run(command)
                rows.append([task, size, peak, peak and peak - loaded, seconds])
                print(*rows[-1], flush=True)
    header = ["task", "megapixels", "peak, GiB", "beyond the loaded model, GiB", "seconds"]
    print(tabulate.tabulate(rows, header, "github", floatfmt=".1f", missingval="fails"))


def peak_and_seconds(
    command: Sequence[str], checkout: Path, limit: int
) -> tuple[float | None, float | None]:
    """Runs Python in a checkout. Returns peak memory in GiB and seconds, None if it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": ".", "TF_CPP_MIN_LOG_LEVEL": "3"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit * 2**30, limit * 2**30)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        return None, None
    return usage.ru_maxrss / 2**20, time.perf_counter() - began


if __name__ == "__main__":
    tyro.cli(main)
