"""Peak memory and time of inference on photos of 1, 3 and 12 megapixels, or of 100.

    python -m benchmarks.inference_memory [--checkout FOLDER]
    python -m benchmarks.inference_memory --megapixels 100 --tasks predict_windows --network small

EncNet50 with 150 classes and random weights, dilated or with joint pyramid upsampling, or a small
FCN; every measurement in a separate process. `predict` and `explain` are the command
`training.predict`, the latter with `--explain`; `predict_windows` and `probabilities` are this
command in windows of 512x512, the latter with `--probabilities`; `segment` and `window` are
`SegmentationModel.segment`, the latter in windows of 1024x1024; `multi_scale` is
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

import numpy as np
import tabulate
import tyro
from PIL import Image

from benchmarks.random_models import smooth_noise

SIZES = {1: (1000, 1000), 3: (1500, 2000), 12: (3000, 4000), 100: (10000, 10000)}
NETWORKS = {
    "encnet50": "keras_encnet.EncNet50(classes={}, backbone_weights=None)",
    "encnet50_jpu": "keras_encnet.EncNet50(classes={}, backbone_weights=None, neck='jpu')",
    "small": "keras_encnet.FCN("
    "keras_encnet.backbones.ResNet18(width_multiplier=0.125), classes={})",
}
BUILD = "import keras_encnet; m = {}; "
READ = "import sys, numpy, PIL.Image; x = numpy.asarray(PIL.Image.open(sys.argv[2])); "
# Python code by task; its arguments are the path of the model and that of the photo.
CODE = {
    "segment": "m.segment(x)",
    "window": "m.segment(x, window=1024)",
    "multi_scale": "keras_encnet.MultiScaleSegmenter(m, base_size='native', scales=(1, 1.75), "
    "flip=False, protocol='mmsegmentation', window='slide')(x.astype('float32'))",
}
OPTIONS = {
    "predict": [],
    "explain": ["--explain"],
    "predict_windows": ["--window", "512"],
    "probabilities": ["--window", "512", "--probabilities"],
}


def main(
    tasks: tuple[Literal[(*OPTIONS, *CODE)], ...] = (  # type: ignore[valid-type]
        "predict",
        "explain",
        *CODE,
    ),
    megapixels: tuple[Literal[1, 3, 12, 100], ...] = (1, 3, 12),
    network: Literal[(*NETWORKS,)] = "encnet50",  # type: ignore[valid-type]
    classes: int = 150,
    checkout: Path = Path(),
    limit: int = 18,
):
    """Prints a table of peak memory and seconds.

    Args:
        tasks: What to measure.
        megapixels: Sizes of the photos.
        network: EncNet50, with joint pyramid upsampling, or an FCN on a ResNet-18 of an eighth of
            the width.
        classes: Number of classes.
        checkout: Root of the version of this repository to measure.
        limit: Limit of the memory of a process in GiB, after which it fails.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = model, _ = [f"{folder}/model.keras", f"{folder}/photo.png"]
        run = functools.partial(peak_and_seconds, checkout=checkout, limit=limit)
        build = BUILD.format(NETWORKS[network].format(classes))
        loaded, _ = run(["-c", build + "import sys; m.save(sys.argv[1])", model])
        for size in megapixels:
            Image.fromarray(photo(*SIZES[size])).save(paths[1])
            for task in tasks:
                if task in OPTIONS:
                    output = ["--output", f"{folder}/results", *OPTIONS[task]]
                    command = ["-m", "training.predict", *paths, *output]
                else:
                    command = ["-c", build + READ + CODE[task], *paths]
                peak, seconds = run(command)
                rows.append([task, size, peak, peak and peak - loaded, seconds])
                print(*rows[-1], flush=True)
    header = ["task", "megapixels", "peak, GiB", "beyond the loaded model, GiB", "seconds"]
    print(tabulate.tabulate(rows, header, "github", floatfmt=".1f", missingval="fails"))


def photo(height: int, width: int) -> np.ndarray:
    """Returns an image, which repeats after 4000 pixels: noise takes 24 bytes per value."""
    tile = smooth_noise(1, min(height, 4000), min(width, 4000))[0]
    repeats = (-(-height // len(tile)), -(-width // tile.shape[1]), 1)
    return np.tile(tile, repeats)[:height, :width]


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
