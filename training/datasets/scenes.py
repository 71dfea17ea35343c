"""Scenes: a small generated data set whose objects only the whole image can name.

A disc is a *wheel* on a street, a *plate* in a kitchen, a *ball* on a lawn and a *buoy* at sea, and
it looks the same in all four. So does the ground around it. What tells the scenes apart is a band
of road, tiles, grass or water along one side of the image, and no disc lies within `CLEARANCE`
pixels of it: a network that classifies a pixel from its receptive field can only guess, one name in
four; a network that encodes the context of the image need not.

This holds at the size the images are drawn in. Train on them with flips, but without random scaling
or cropping: shrinking an image brings the band into view, and cropping may cut it off.

    python -m training.datasets.scenes OUTPUT

writes them in the layout of the folder data set.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from keras_encnet.utils.files import atomic_folder
from training.datasets import scene_painting

# The class that tells a scene, and the name of a disc in it.
SCENES = {
    "street": ("road", "wheel"),
    "kitchen": ("tiles", "plate"),
    "lawn": ("grass", "ball"),
    "sea": ("water", "buoy"),
}
TELLING = tuple(telling for telling, _ in SCENES.values())
AMBIGUOUS = tuple(disc for _, disc in SCENES.values())
CLASSES = ("ground", "box", "cone", *TELLING, *AMBIGUOUS)
IGNORED = scene_painting.IGNORED

# Pixels between any disc and the band. A dilated ResNet of basic blocks, one a stage at output
# stride 8, sees 163 pixels with its 3x3 head: 82 to either side. Interpolating its logits reaches
# one cell of 8 pixels further, which makes 90; a little more leaves room for a deep stem.
CLEARANCE = 96
BAND_WIDTHS = (32, 56)
RADII = (7, 12)
# As small as that allows: the widest band, the clearance, and three discs side by side.
HEIGHT, WIDTH = 64, 224

# Raised whenever a seed begins to mean other pixels, lest an older copy pass for a present one.
VERSION = 1


def draw_scene(rng, scene, size=(HEIGHT, WIDTH)):
    """Draws one image of a scene, and its mask.

    The band is painted last. Until then the scene decides the id of the discs and nothing else, so
    given equal generators two scenes agree in every pixel beside the band.

    Args:
        rng: `np.random.Generator`, the only source of chance.
        scene: String, a key of `SCENES`.
        size: Pair of integers, the height and the width of the image.

    Returns:
        The image, `uint8` of shape `(height, width, 3)`, and the mask, `uint8` of shape
        `(height, width)`: indices into `CLASSES`, and `VOID` along borders, in the pixels that an
        object covers in part.

    Raises:
        ValueError: If the scene is unknown, or the size too small to hold it.
    """
    if scene not in SCENES:
        raise ValueError(f"`scene` must be one of {', '.join(SCENES)}. Received: scene={scene!r}")
    room = 2 * (RADII[1] + 2)
    least = (room, BAND_WIDTHS[1] + CLEARANCE + room)
    if size[0] < least[0] or size[1] < least[1]:
        raise ValueError(
            f"`size` must be at least {least}: the widest band, the clearance and a disc beyond it "
            f"have to fit. Received: size={size}"
        )
    telling, disc = SCENES[scene]
    y, x = np.mgrid[: size[0], : size[1]].astype("float32")
    flipped = rng.random() < 0.5
    band = int(rng.integers(*BAND_WIDTHS, endpoint=True))
    # The edge of the band meanders, but inwards only: column `band` is the last that it may touch.
    bend = np.sin(y / rng.uniform(8, 16) + rng.uniform(0, 2 * np.pi))
    inside = band - 0.5 + 1.2 * (bend - 1) - x
    angle = rng.uniform(-1, 1)
    light = np.array([-np.cos(angle), np.sin(angle)])  # as (y, x), the way to it: upwards
    slope = light[0] * (2 * y / size[0] - 1) + light[1] * (2 * x / size[1] - 1)
    lighting = 1 + rng.uniform(0.04, 0.12) * slope[..., None]

    image = scene_painting.ground(rng, y)
    mask = np.full(y.shape, CLASSES.index("ground"), "uint8")
    for row, column, radius, kind in _layout(rng, size, band):
        top, left = max(int(row - 2 * radius), 0), max(int(column - 2 * radius), 0)
        patch = np.s_[top : int(row + 2 * radius), left : int(column + 2 * radius)]
        label = CLASSES.index(disc if kind == "disc" else kind)
        scene_painting.OBJECTS[kind](
            rng, image[patch], mask[patch], label, y[patch] - row, x[patch] - column, radius, light
        )
    image *= lighting

    strip = np.s_[:, : band + 1]
    texture = (
        scene_painting.BANDS[telling](rng, y[strip], x[strip], inside[strip]) * lighting[strip]
    )
    texture *= 1 - 0.4 * np.exp(-np.maximum(inside[strip], 0) / 1.5)[..., None]  # a sunken edge
    label = CLASSES.index(telling)
    scene_painting.cover(image[strip], -inside[strip], texture, mask[strip], label)

    image = np.clip(image + 0.5, 0, 255).astype("uint8")
    if flipped:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def write(root: Path, *, train=512, val=64, test=128, seed=0):
    """Writes the data set as a folder: images, labels, a list of each split, and the classes.

    It is drawn beside its place and renamed at the end, so `root` is whole or missing, whatever
    happens meanwhile. If `root` already holds the data set asked for, it is left as it is.

    Args:
        root: Path of the folder to write.
        train: Integer, the number of training images.
        val: Integer, the number of validation images.
        test: Integer, the number of test images.
        seed: Integer, not negative. It determines an image together with split and index, so that
            image i stays the same however many there are.

    Returns:
        The path of the data set.

    Raises:
        ValueError: If a number is out of range.
        FileExistsError: If `root` holds anything else, or was written with other parameters.
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
            _write_splits(draft, splits, seed)
            (draft / "scenes.json").write_text(json.dumps(record, indent=2) + "\n")
    except OSError:
        # Another process was faster, which is fine if it wrote the same.
        if not _is_written(root, record):
            raise
    return root


def _write_splits(root, splits, seed):
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for split, (name, count) in enumerate(splits.items()):
        stems = [f"{name}_{index:05d}" for index in range(count)]
        for index, stem in enumerate(stems):
            scene = list(SCENES)[index % len(SCENES)]
            painted = draw_scene(np.random.default_rng([seed, split, index]), scene)
            for folder, pixels in zip(("images", "labels"), painted, strict=True):
                path = root / folder / f"{stem}.png"
                Image.fromarray(pixels).save(path, compress_level=1)
        (root / f"{name}.txt").write_text("\n".join(stems) + "\n")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")


def _is_written(root, record):
    """Whether `root` holds the data set of `record`; an error if it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    path = root / "scenes.json"
    found = json.loads(path.read_text()) if path.is_file() else None
    if found != record:
        raise FileExistsError(
            f"The folder holds {found or 'something else'}, where {record} was to be written. "
            f"Name another folder, or remove this one. Received: root={str(root)!r}"
        )
    return True


def _layout(rng, size, band):
    """Finds room for discs beyond the clearance and for the rest anywhere beside the band."""
    discs, boxes, cones = rng.integers((1, 0, 0), (5, 3, 3)).tolist()
    placed = []
    for kind in ["disc"] * discs + ["box"] * boxes + ["cone"] * cones:
        radius = rng.uniform(*RADII)
        margin = radius + 2
        start = band + margin + (CLEARANCE if kind == "disc" else 0)
        for _ in range(20):  # where it is crowded, do without; the first disc always fits
            row = rng.uniform(margin, size[0] - margin)
            column = rng.uniform(start, size[1] - margin)
            if all(np.hypot(row - r, column - c) > radius + s + 3 for r, c, s, _ in placed):
                placed.append((row, column, radius, kind))
                break
    return sorted(placed)  # from the back to the front


if __name__ == "__main__":
    import tyro

    print(tyro.cli(write, config=(tyro.conf.PositionalRequiredArgs,)))
