"""Scenes: a small generated data set whose objects can be classified only by context.

A disc is a *wheel* on a street, a *plate* in a kitchen, a *ball* on a lawn and a *buoy* at sea, and
it looks the same in all four, as does the ground around it. Only a band of road, tiles, grass or
water along one side of the image identifies the scene, and no disc lies within `CLEARANCE` pixels
of it. A network that classifies a pixel from a smaller receptive field can only guess among four
classes; a network that encodes the context of the image can name the disc.

This holds at the size at which the images are generated. Train with flips, but without random
scaling or cropping: shrinking brings the band into the receptive field, cropping may remove it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from keras_encnet.utils.files import atomic_folder, read_json
from training.datasets import scene_painting

# The class of the band of each scene, and the class of its discs.
SCENES = {
    "street": ("road", "wheel"),
    "kitchen": ("tiles", "plate"),
    "lawn": ("grass", "ball"),
    "sea": ("water", "buoy"),
}
BANDS = tuple(band for band, _ in SCENES.values())
DISCS = tuple(disc for _, disc in SCENES.values())
CLASSES = ("ground", "box", "cone", *BANDS, *DISCS)

# Pixels between any disc and the band. A dilated ResNet with one basic block per stage at output
# stride 8 and a 3x3 head has a receptive field of 163 pixels: 82 to either side. Interpolating its
# logits adds one cell of 8 pixels, which makes 90; the rest is a margin for a deep stem.
CLEARANCE = 96
BAND_WIDTHS = (32, 56)
RADII = (7, 12)
# The smallest size with the widest band, the clearance, and three discs side by side.
HEIGHT, WIDTH = 64, 224

# Incremented when the same seed gives other pixels, so that an older copy is not reused.
VERSION = 1


def draw_scene(
    rng: np.random.Generator, scene: str, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one image of a scene, and its mask.

    The band is painted last. Until then the scene determines only the id of the discs, so with
    equal generators two scenes have the same pixels outside the band.

    Args:
        rng: `np.random.Generator`, the only source of randomness.
        scene: String, a key of `SCENES`.
        size: Pair of integers, the height and the width of the image.

    Returns:
        The image, `uint8` of shape `(height, width, 3)`, and the mask, `uint8` of shape
        `(height, width)`: indices into `CLASSES`, and `IGNORED` in the border pixels that an object
        covers partly.

    Raises:
        ValueError: If the scene is unknown, or the size too small for it.
    """
    if scene not in SCENES:
        raise ValueError(f"`scene` must be one of {', '.join(SCENES)}. Received: scene={scene!r}")
    diameter = 2 * (RADII[1] + 2)
    smallest = (diameter, BAND_WIDTHS[1] + CLEARANCE + diameter)
    if size[0] < smallest[0] or size[1] < smallest[1]:
        raise ValueError(
            f"`size` must be at least {smallest}, to fit the widest band, the clearance and a "
            f"disc. Received: size={size}"
        )
    band_class, disc_class = SCENES[scene]
    y, x = np.mgrid[: size[0], : size[1]].astype("float32")
    flipped = rng.random() < 0.5
    band = int(rng.integers(*BAND_WIDTHS, endpoint=True))
    # The edge of the band meanders, but only inwards: column `band` is the last it may touch.
    bend = np.sin(y / rng.uniform(8, 16) + rng.uniform(0, 2 * np.pi))
    inside = band - 0.5 + 1.2 * (bend - 1) - x
    angle = rng.uniform(-1, 1)
    light = np.array([-np.cos(angle), np.sin(angle)])  # direction (y, x) to the light: upwards
    slope = light[0] * (2 * y / size[0] - 1) + light[1] * (2 * x / size[1] - 1)
    lighting = 1 + rng.uniform(0.04, 0.12) * slope[..., None]

    image = scene_painting.ground(rng, y)
    mask = np.full(y.shape, CLASSES.index("ground"), "uint8")
    for row, column, radius, kind in _layout(rng, size, band):
        top, left = max(int(row - 2 * radius), 0), max(int(column - 2 * radius), 0)
        patch = np.s_[top : int(row + 2 * radius), left : int(column + 2 * radius)]
        label = CLASSES.index(disc_class if kind == "disc" else kind)
        scene_painting.OBJECTS[kind](
            rng, image[patch], mask[patch], label, y[patch] - row, x[patch] - column, radius, light
        )
    image *= lighting

    strip = np.s_[:, : band + 1]
    texture = (
        scene_painting.BANDS[band_class](rng, y[strip], x[strip], inside[strip]) * lighting[strip]
    )
    texture *= 1 - 0.4 * np.exp(-np.maximum(inside[strip], 0) / 1.5)[..., None]  # a sunken edge
    label = CLASSES.index(band_class)
    scene_painting.cover(image[strip], -inside[strip], texture, mask[strip], label)

    image = np.clip(image + 0.5, 0, 255).astype("uint8")
    if flipped:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def write(root: Path, *, train: int = 512, val: int = 64, test: int = 128, seed: int = 0) -> Path:
    """Writes the data set as a folder, atomically.

    If `root` already holds this data set, it is left unchanged.

    Args:
        root: Path of the folder to write.
        train: Integer, the number of training images.
        val: Integer, the number of validation images.
        test: Integer, the number of test images.
        seed: Integer, not negative. An image depends on seed, split and index only, so that
            image i does not change with the number of images.

    Returns:
        The path of the data set.

    Raises:
        ValueError: If a number is out of range.
        FileExistsError: If `root` holds anything else, or was written with other arguments.
    """
    root = Path(root).resolve()
    splits = {"train": train, "val": val, "test": test}
    for name, count in splits.items():
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={count}")
    if seed < 0:
        raise ValueError(f"`seed` must not be negative. Received: seed={seed}")
    record = {"version": VERSION, "seed": seed, **splits}
    if _is_written(root, record):
        return root
    try:
        with atomic_folder(root) as draft:
            for folder in ("images", "labels"):
                (draft / folder).mkdir()
            for split, (name, count) in enumerate(splits.items()):
                _write_split(draft, name, [(seed, split, index) for index in range(count)])
            (draft / "classes.txt").write_text("\n".join(CLASSES) + "\n")
            (draft / "scenes.json").write_text(json.dumps(record, indent=2) + "\n")
    except OSError:
        # Another process may have written the same data set meanwhile.
        if not _is_written(root, record):
            raise
    return root


def _write_split(draft, name, seeds):
    stems = [f"{name}_{index:05d}" for index in range(len(seeds))]
    for index, stem in enumerate(stems):
        scene = list(SCENES)[index % len(SCENES)]
        sample = draw_scene(np.random.default_rng(seeds[index]), scene)
        for folder, pixels in zip(("images", "labels"), sample, strict=True):
            Image.fromarray(pixels).save(draft / folder / f"{stem}.png", compress_level=1)
    (draft / f"{name}.txt").write_text("\n".join(stems) + "\n")


def _is_written(root, record):
    """Returns whether `root` holds the data set of `record`; raises if it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    path = root / "scenes.json"
    found = read_json(path, None)
    if found != record:
        raise FileExistsError(
            f"The folder already contains {found or 'something else'} instead of {record}. "
            f"Choose another folder, or remove this one. Received: root={str(root)!r}"
        )
    return True


def _layout(rng, size, band):
    """Places discs outside the clearance, and other objects anywhere outside the band."""
    discs, boxes, cones = rng.integers((1, 0, 0), (5, 3, 3)).tolist()
    placed = []
    for kind in ["disc"] * discs + ["box"] * boxes + ["cone"] * cones:
        radius = rng.uniform(*RADII)
        margin = radius + 2
        start = band + margin + (CLEARANCE if kind == "disc" else 0)
        for _ in range(20):  # if none fits, skip the object; the first disc always fits
            row = rng.uniform(margin, size[0] - margin)
            column = rng.uniform(start, size[1] - margin)
            if all(np.hypot(row - r, column - c) > radius + s + 3 for r, c, s, _ in placed):
                placed.append((row, column, radius, kind))
                break
    return sorted(placed)  # from the back to the front
