"""Images per second and core of the training pipeline, compared with the same steps in Pillow.

    python -m benchmarks.input_pipeline [--rounds 3]

Both read 500x375 JPEGs and their PNG masks, flip, scale by 0.5 to 2, rotate by up to 10 degrees,
crop to 480x480, with black and ignored pixels outside the image; the model normalizes. The official
code does this with Pillow and one process per core. A third contestant is the pipeline with all
photometric augmentations. They take turns in separate processes with one core each. The table shows
the time that each stage adds.
"""

import functools
import itertools
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import tabulate
import tyro
from PIL import Image

from benchmarks.measuring import output_of

WIDTH, HEIGHT, CROP, CLASSES, IGNORED = 500, 375, 480, 21, 255
STAGES = ("decode image", "decode mask", "augment", "batch")


def main(
    contestant: Literal["all", "pipeline", "pillow", "photometric"] = "all",
    images: int = 64,
    rounds: int = 3,
    data: Path | None = None,
):
    """Compares the pipelines.

    Args:
        contestant: The contestant to run in this process; `all` runs each in its own.
        images: Number of files; each measurement reads all of them once.
        rounds: Processes per contestant.
        data: Folder of the files; created by default.
    """
    if contestant != "all":
        # One core for all threads. It must be set before TensorFlow is imported and counts cores.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(CONTESTANTS[contestant](data)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), images)
        found = {name: [] for name in CONTESTANTS}
        for _ in range(rounds):
            for name, results in found.items():
                command = [sys.executable, "-m", "benchmarks.input_pipeline"]
                printed = output_of([*command, "--contestant", name, "--data", folder])
                results.append(json.loads(printed.splitlines()[-1]))
    report(found)


def report(found):
    """Prints the rates, their ratio and the time that each stage adds."""
    seconds = {
        name: [statistics.median(stage) for stage in zip(*results, strict=True)]
        for name, results in found.items()
    }
    for name, results in found.items():
        rates = sorted(1 / result[-1] for result in results)
        median, low, high = statistics.median(rates), rates[0], rates[-1]
        print(f"{name:11} {median:.1f} images/s per core ({low:.1f} to {high:.1f})")
    for name in ("pillow", "photometric"):
        ratio = seconds[name][-1] / seconds["pipeline"][-1]
        print(f"pipeline / {name}: {ratio:.2f} times the rate")
    added = {name: np.diff([0.0, *values]) * 1000 for name, values in seconds.items()}
    rows = [(stage, *(added[name][i] for name in added)) for i, stage in enumerate(STAGES)]
    print(tabulate.tabulate(rows, ["ms per image", *added], floatfmt=".2f"))


def write(folder, images):
    """Writes smooth images with some texture, as large as photographs when encoded, and masks."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for i in range(images):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), "uint8"))
        image = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.BICUBIC), "float32")
        image += rng.normal(0, 8, image.shape)
        image = Image.fromarray(image.clip(0, 255).astype("uint8"))
        image.save(folder / "images" / f"{i}.jpg", quality=90)
        mask = Image.fromarray(rng.integers(0, CLASSES, (6, 8), "uint8"))
        mask.resize((WIDTH, HEIGHT), Image.NEAREST).save(folder / "labels" / f"{i}.png")
    (folder / "train.txt").write_text("\n".join(map(str, range(images))))
    (folder / "classes.txt").write_text("\n".join(f"class {i}" for i in range(CLASSES)))


def pipeline(data, **photometric):
    """Returns the seconds per image of the pipeline up to each stage.

    Args:
        data: the folder.
        **photometric: options of `Photometric`.
    """
    # Imported here, as TensorFlow counts the cores.
    import tensorflow as tf

    from training.configs.photometric import Photometric
    from training.input import augmentation, image_files, segmentation_batches
    from training.input.folder import read_split

    split = read_split(data, "train")
    paths = [[str(path) for path in paths] for paths in (split.image_paths, split.mask_paths)]
    variation = augmentation.Augmentation(photometric=Photometric(**photometric))

    def augment(image, mask, number):
        seed = tf.stack([tf.constant(0, tf.int64), number])
        return augmentation.augment(image, mask, variation, crop_size=(CROP, CROP), seed=seed)

    def files():
        numbers = tf.range(len(split), dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((*paths, numbers)).repeat()

    def decode(image, mask, number):
        return image_files.decode_image(image), image_files.decode_mask(mask), number

    def mapped(function, dataset):
        return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    stages = [
        mapped(lambda image, mask, number: image_files.decode_image(image), files()),
        mapped(decode, files()),
        mapped(lambda image, mask, number: augment(*decode(image, mask, number)), files()),
    ]
    batches = segmentation_batches.train_batches(
        split, crop_size=CROP, batch_size=8, seed=0, augmentation=variation
    )
    elements = [*zip(stages, [len(split)] * 3, strict=True), (batches, len(split) // 8)]

    def run(iterator, count):
        for _ in itertools.islice(iterator, count):
            pass

    return [timed(functools.partial(run, iter(x), count), len(split)) for x, count in elements]


def pillow(data):
    """Returns the seconds per image with Pillow and NumPy, with the stages of the official code."""
    stems = (data / "train.txt").read_text().split()

    def image_of(stem):
        return Image.open(data / "images" / f"{stem}.jpg").convert("RGB")

    def pair_of(stem):
        mask = Image.open(data / "labels" / f"{stem}.png")
        mask.load()
        return image_of(stem), mask

    def augmented(stem):
        image, mask = pair_of(stem)
        if random.random() < 0.5:
            image, mask = (x.transpose(Image.FLIP_LEFT_RIGHT) for x in (image, mask))
        factor = random.uniform(0.5, 2.0)
        size = round(factor * WIDTH), round(factor * HEIGHT)
        angle = random.uniform(-10, 10)
        image = image.resize(size, Image.BILINEAR).rotate(angle, Image.BILINEAR)
        mask = mask.resize(size, Image.NEAREST).rotate(angle, Image.NEAREST, fillcolor=IGNORED)
        # Outside the image a crop is black; the official code pads first.
        left, top = (random.randint(min(s - CROP, 0), max(s - CROP, 0)) for s in size)
        right, bottom = max(left + CROP - size[0], 0), max(top + CROP - size[1], 0)
        if min(left, top) < 0 or right or bottom:
            border = (max(-left, 0), max(-top, 0))
            padded = size[0] + border[0] + right, size[1] + border[1] + bottom
            for mode, color, source in (("RGB", 0, image), ("L", IGNORED, mask)):
                canvas = Image.new(mode, padded, color)
                canvas.paste(source, border)
                image, mask = (canvas, mask) if mode == "RGB" else (image, canvas)
            left, top = max(left, 0), max(top, 0)
        box = left, top, left + CROP, top + CROP
        return image.crop(box), mask.crop(box)

    def arrays(stem):
        image, mask = augmented(stem)
        return np.asarray(image), np.asarray(mask, "int32")

    def batches():
        for i in range(0, len(stems), 8):
            images, masks = zip(*map(arrays, stems[i : i + 8]), strict=True)
            np.stack(images), np.stack(masks)

    stages = [lambda f=f: [f(stem) for stem in stems] for f in (image_of, pair_of, augmented)]
    return [timed(stage, len(stems)) for stage in [*stages, batches]]


CONTESTANTS = {
    "pipeline": pipeline,
    "pillow": pillow,
    "photometric": functools.partial(
        pipeline, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05, blur=1, noise=0.02
    ),
}


def timed(run, images, repeats=3):
    """Returns the minimum CPU time per image of several runs, after one that is not counted."""
    least = math.inf
    for i in range(repeats + 1):
        start = time.process_time()
        run()
        if i:
            least = min(least, time.process_time() - start)
    return least / images


if __name__ == "__main__":
    tyro.cli(main)
