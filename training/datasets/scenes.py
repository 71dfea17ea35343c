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
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

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
VOID = 255

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

    image = _ground(rng, y)
    mask = np.full(y.shape, CLASSES.index("ground"), "uint8")
    for row, column, radius, kind in _layout(rng, size, band):
        top, left = max(int(row - 2 * radius), 0), max(int(column - 2 * radius), 0)
        patch = np.s_[top : int(row + 2 * radius), left : int(column + 2 * radius)]
        label = CLASSES.index(disc if kind == "disc" else kind)
        _OBJECTS[kind](
            rng, image[patch], mask[patch], label, y[patch] - row, x[patch] - column, radius, light
        )
    image *= lighting

    strip = np.s_[:, : band + 1]
    texture = _BANDS[telling](rng, y[strip], x[strip], inside[strip]) * lighting[strip]
    texture *= 1 - 0.4 * np.exp(-np.maximum(inside[strip], 0) / 1.5)[..., None]  # a sunken edge
    _cover(image[strip], -inside[strip], texture, mask[strip], CLASSES.index(telling))

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
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as beside:
        draft = Path(beside) / root.name
        for folder in ("images", "labels"):
            (draft / folder).mkdir(parents=True)
        for split, (name, count) in enumerate(splits.items()):
            stems = [f"{name}_{index:05d}" for index in range(count)]
            for index, stem in enumerate(stems):
                scene = list(SCENES)[index % len(SCENES)]
                drawn = draw_scene(np.random.default_rng([seed, split, index]), scene)
                for folder, pixels in zip(("images", "labels"), drawn, strict=True):
                    path = draft / folder / f"{stem}.png"
                    Image.fromarray(pixels).save(path, compress_level=1)
            (draft / f"{name}.txt").write_text("\n".join(stems) + "\n")
        (draft / "classes.txt").write_text("\n".join(CLASSES) + "\n")
        (draft / "scenes.json").write_text(json.dumps(record, indent=2) + "\n")
        try:
            os.rename(draft, root)
        except OSError:
            # Someone else was faster. That is as good, if they wrote the same.
            if not _is_written(root, record):
                raise
    return root


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


def _cover(image, distance, colour, mask=None, label=None):
    """Paints, in place, where a signed distance is negative, with a smooth edge."""
    coverage = np.clip(0.5 - distance, 0, 1)
    image += coverage[..., None] * (colour - image)
    if mask is not None:
        mask[coverage > 0] = VOID
        mask[coverage == 1] = label


def _cast_shadow(image, y, x, radius, light):
    """Darkens, in place, a soft spot on the side of an object that faces away from the light."""
    away = np.hypot(y + 0.3 * radius * light[0], x + 0.3 * radius * light[1]) / radius
    image *= 1 - 0.45 / (1 + away**8)[..., None]


def _noise(rng, shape, cell):
    """Smooth noise of standard deviation about one, with features of the size of a cell."""
    grid = [max(2, round(n / c) + 1) for n, c in zip(shape, cell, strict=True)]
    grid = Image.fromarray(rng.standard_normal(grid, "float32"))
    return np.asarray(grid.resize(shape[::-1], Image.Resampling.BICUBIC))[..., None]


def _ground(rng, y):
    """Pale sand: the same in every scene."""
    colour = np.array([204, 194, 176]) + rng.uniform(-8, 8) + rng.uniform(-4, 4, 3)
    clouds = 5 * _noise(rng, y.shape, (24, 36)) + 4 * _noise(rng, y.shape, (5, 7))
    return (colour + clouds + rng.normal(0, 4, (*y.shape, 1))).astype("float32")


_DISC_COLOURS = np.array(
    [(240, 236, 228), (208, 209, 206), (162, 170, 176), (118, 128, 138), (72, 80, 90)]
)


def _disc(rng, image, mask, label, y, x, radius, light):
    """A rim around a face that may bulge or dip, and a hub: wheel, plate, ball and buoy at once."""
    _cast_shadow(image, y, x, radius, light)
    rim, face, hub = rng.permutation(_DISC_COLOURS)[:3]
    tilt = ((light[0] * y + light[1] * x) / radius)[..., None]
    away = np.hypot(y, x)
    inner = rng.uniform(0.62, 0.85) * radius
    core = rng.uniform(0.0, 0.4) * radius
    _cover(image, away - radius, rim * (1 + 0.22 * tilt), mask, label)
    _cover(image, away - inner, face * (1 + rng.uniform(-0.3, 0.3) * tilt))
    _cover(image, away - core, hub * (1 + 0.3 * tilt))
    spot = np.hypot(y - 0.45 * radius * light[0], x - 0.45 * radius * light[1]) / (0.2 * radius)
    image += rng.uniform(0.3, 0.8) * np.exp(-(spot**2))[..., None] * (255 - image)


def _box(rng, image, mask, label, y, x, radius, light):
    """A cardboard box seen from above, closed with tape."""
    _cast_shadow(image, y, x, 0.9 * radius, light)
    turn = rng.uniform(0, np.pi)
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    side, end = 0.78 * radius, rng.uniform(0.55, 0.78) * radius
    colour = np.array([196, 148, 98]) * rng.uniform(0.88, 1.06)
    tilt = ((light[0] * y + light[1] * x) / radius)[..., None]
    outside = np.maximum(np.abs(u) - side, np.abs(v) - end)
    _cover(image, outside, colour * 0.72, mask, label)
    _cover(image, outside + 1, colour * (1 + 0.12 * tilt))
    _cover(image, np.maximum(outside, np.abs(v) - 0.12 * radius), colour * 1.22)


def _cone(rng, image, mask, label, y, x, radius, light):
    """A traffic cone seen from the side, with its white stripe."""
    _cast_shadow(image, y - 0.3 * radius, x, 0.8 * radius, light)
    colour = np.array([232, 110, 52]) * rng.uniform(0.9, 1.05)
    shade = (1 - 0.25 * np.abs(x / radius - 0.4 * light[1]))[..., None]
    flank = (1.75 * np.abs(x) - 0.75 * (y + radius)) / np.hypot(1.75, 0.75)
    outside = np.maximum(flank, y - 0.75 * radius)
    _cover(image, outside, colour * shade, mask, label)
    _cover(image, np.maximum(outside, np.abs(y + 0.05 * radius) - 0.17 * radius), 246 * shade)


def _road(rng, y, x, inside):
    """Asphalt between a solid line along the edge and a dashed one along the middle."""
    image = 84 + 3 * _noise(rng, x.shape, (12, 8)) + rng.normal(0, 6, (*x.shape, 1))
    image = image + np.array([-2, 0, 6])
    middle = 0.55 * float(x.max())
    dash = np.abs((y + rng.uniform(0, 24)) % 24 - 12) - 7
    paint = 232 + rng.normal(0, 5, (*x.shape, 1))
    _cover(image, np.abs(inside - 5) - 0.9, paint)
    _cover(image, np.maximum(np.abs(inside - middle) - 1.1, dash), paint * np.array([1, 0.87, 0.5]))
    return image


def _tiles(rng, y, x, inside):
    """Glazed tiles, white and blue in turns, and the joints between them."""
    pitch = 10.5
    v, u = y + rng.uniform(0, pitch), x + rng.uniform(0, pitch)
    row, column = (v // pitch).astype(int), (u // pitch).astype(int)
    colours = np.array([(242, 240, 234), (128, 172, 190)])
    glaze = rng.normal(1, 0.03, (row.max() + 1, column.max() + 1))[row, column]
    within_v, within_u = v % pitch - pitch / 2, u % pitch - pitch / 2
    gloss = 1 - 0.012 * (within_v + within_u)
    image = colours[(row + column) % 2] * (glaze * gloss)[..., None]
    joint = pitch / 2 - 0.4 - np.maximum(np.abs(within_v), np.abs(within_u))
    _cover(image, joint, np.array([178, 174, 166]))
    return image


def _grass(rng, y, x, inside):
    """Blades of many greens, the nearer in front, and a few daisies."""
    height, width = x.shape
    fine = 3  # drawn this much larger, then averaged, for smooth edges
    picture = Image.new("RGB", (width * fine, height * fine), (66, 116, 50))
    draw = ImageDraw.Draw(picture)
    count = height * width // 9
    dark, bright = np.array([58, 112, 42]), np.array([158, 200, 88])
    colours = (dark + rng.uniform(0, 1, (count, 1)) * (bright - dark)).astype(int).tolist()
    foot = np.sort(rng.uniform(0, height + 8, count))
    at, lean, length = rng.uniform((0, -3, 5), (width, 3, 10), (count, 3)).T
    blades = np.stack([at - 0.8, foot, at + 0.8, foot, at + lean, foot - length], axis=1)
    for blade, colour in zip((fine * blades).tolist(), colours, strict=True):
        draw.polygon(blade, tuple(colour))
    image = np.asarray(picture.resize((width, height), Image.Resampling.BOX), "float32").copy()
    for _ in range(rng.integers(3, 8)):
        away = np.hypot(y - rng.uniform(2, height - 2), x - rng.uniform(2, width - 4))
        _cover(image, away - 1.7, np.array([250, 248, 240]))
        _cover(image, away - 0.6, np.array([244, 200, 60]))
    return image


def _water(rng, y, x, inside):
    """Waves rolling towards the edge, with foam where they break."""
    depth = (np.clip(inside / x.max(), 0, 1) ** 0.7)[..., None]
    image = (1 - depth) * np.array([104, 184, 196]) + depth * np.array([38, 104, 160])
    drift = _noise(rng, x.shape, (14, 14))[..., 0]
    wave = np.sin(2 * np.pi * (y / 8 + 0.3 * np.sin(x / 6 + rng.uniform(0, 6)) + 0.25 * drift))
    image += 12 * wave[..., None]
    crest = np.clip(6 * (wave - 0.72) * (0.6 + 0.5 * _noise(rng, x.shape, (4, 8))[..., 0]), 0, 1)
    image += 0.75 * crest[..., None] * (np.array([240, 250, 250]) - image)
    _cover(image, np.abs(inside - 2.5 - drift) - 0.8, np.array([244, 250, 248]))
    return image


_OBJECTS = {"disc": _disc, "box": _box, "cone": _cone}
_BANDS = {"road": _road, "tiles": _tiles, "grass": _grass, "water": _water}


if __name__ == "__main__":
    import tyro

    print(tyro.cli(write, config=(tyro.conf.PositionalRequiredArgs,)))
