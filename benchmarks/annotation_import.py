"""Time, CPU time and peak memory of importing a COCO export.

    python -m benchmarks.annotation_import

Generates 5,000 JPEGs of 640x480 with seven objects each (as many as COCO has on average), one of
which is a run-length code, and runs `training.import_data` on them in a separate process: first
without its check of the result, then with it.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tqdm
import tyro
from PIL import Image
from pycocotools import mask as coco_masks

from benchmarks.random_models import smooth_noise

WIDTH, HEIGHT, CLASSES, OBJECTS = 640, 480, 80, 7
IMPORT = """
from training.importing.imports import import_export
import sys
import_export(*sys.argv[1:])
"""


def main(images: int = 5000) -> None:
    """Prints seconds, CPU seconds and peak memory of both imports.

    Args:
        images: Number of images.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_export(root / "export", images)
        arguments = [str(root / "export"), str(root / "imported")]
        for name, command in (
            ("import", ["-c", IMPORT]),
            ("import and check", ["-m", "training.import_data"]),
        ):
            began, cpu = time.perf_counter(), cpu_seconds()
            subprocess.run(
                [sys.executable, *command, arguments[0], f"{arguments[1]}-{name}"],
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
            seconds = time.perf_counter() - began
            # The largest of all children so far; the second import needs no less than the first.
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
            cpu = cpu_seconds() - cpu
            each = 1000 * cpu / images
            print(
                f"{name}: {seconds:.0f} s, {cpu:.0f} s of CPU time, {each:.1f} ms per image; "
                f"{peak:.2f} GiB",
                flush=True,
            )


def cpu_seconds() -> float:
    """Returns the CPU time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write_export(root: Path, images: int) -> None:
    """Writes images and `annotations.json`."""
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    photos = [Image.fromarray(photo) for photo in smooth_noise(8, HEIGHT, WIDTH)]
    annotations: list[dict] = []
    for number in tqdm.trange(images, desc="Generating", unit="image"):
        photos[number % len(photos)].save(root / f"images/{number:06}.jpg", quality=90)
        for i in range(OBJECTS):
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": int(rng.integers(CLASSES)),
                    "iscrowd": 0,
                    "segmentation": outline(rng, encoded=i % 5 == 4),
                }
            )
    content = {
        "images": [
            {"id": i, "file_name": f"{i:06}.jpg", "width": WIDTH, "height": HEIGHT}
            for i in range(images)
        ],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(CLASSES)],
        "annotations": annotations,
    }
    (root / "annotations.json").write_text(json.dumps(content))


def outline(rng: np.random.Generator, encoded: bool) -> list | dict:
    """Returns a star-shaped polygon of 30 points, or its run-length code."""
    angles = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    radius = rng.uniform(20, 150) * rng.uniform(0.5, 1, 30)
    center = rng.uniform((0, 0), (WIDTH, HEIGHT))
    points = center + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    polygon = points.round(1).ravel().tolist()
    if not encoded:
        return [polygon]
    code = coco_masks.merge(coco_masks.frPyObjects([polygon], HEIGHT, WIDTH))
    return {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}


if __name__ == "__main__":
    tyro.cli(main)
