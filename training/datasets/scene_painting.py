"""Painting of the scenes: the ground, the objects on it, and the band that identifies the scene."""

import numpy as np
from PIL import Image, ImageDraw

from training.input.folder import IGNORED


def cover(image, distance, color, mask=None, label=None):
    """Paints, in place, where a signed distance is negative, with a smooth edge."""
    coverage = np.clip(0.5 - distance, 0, 1)
    image += coverage[..., None] * (color - image)
    if mask is not None:
        mask[coverage > 0] = IGNORED
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


def ground(rng, y):
    """Pale sand: the same in every scene."""
    color = np.array([204, 194, 176]) + rng.uniform(-8, 8) + rng.uniform(-4, 4, 3)
    clouds = 5 * _noise(rng, y.shape, (24, 36)) + 4 * _noise(rng, y.shape, (5, 7))
    return (color + clouds + rng.normal(0, 4, (*y.shape, 1))).astype("float32")


_DISC_COLORS = np.array(
    [(240, 236, 228), (208, 209, 206), (162, 170, 176), (118, 128, 138), (72, 80, 90)]
)


def _disc(rng, image, mask, label, y, x, radius, light):
    """A rim around a face that may bulge or dip, and a hub: wheel, plate, ball and buoy at once."""
    _cast_shadow(image, y, x, radius, light)
    rim, face, hub = rng.permutation(_DISC_COLORS)[:3]
    tilt = ((light[0] * y + light[1] * x) / radius)[..., None]
    away = np.hypot(y, x)
    inner = rng.uniform(0.62, 0.85) * radius
    core = rng.uniform(0.0, 0.4) * radius
    cover(image, away - radius, rim * (1 + 0.22 * tilt), mask, label)
    cover(image, away - inner, face * (1 + rng.uniform(-0.3, 0.3) * tilt))
    cover(image, away - core, hub * (1 + 0.3 * tilt))
    spot = np.hypot(y - 0.45 * radius * light[0], x - 0.45 * radius * light[1]) / (0.2 * radius)
    image += rng.uniform(0.3, 0.8) * np.exp(-(spot**2))[..., None] * (255 - image)


def _box(rng, image, mask, label, y, x, radius, light):
    """A cardboard box seen from above, closed with tape."""
    _cast_shadow(image, y, x, 0.9 * radius, light)
    turn = rng.uniform(0, np.pi)
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    side, end = 0.78 * radius, rng.uniform(0.55, 0.78) * radius
    color = np.array([196, 148, 98]) * rng.uniform(0.88, 1.06)
    tilt = ((light[0] * y + light[1] * x) / radius)[..., None]
    outside = np.maximum(np.abs(u) - side, np.abs(v) - end)
    cover(image, outside, color * 0.72, mask, label)
    cover(image, outside + 1, color * (1 + 0.12 * tilt))
    cover(image, np.maximum(outside, np.abs(v) - 0.12 * radius), color * 1.22)


def _cone(rng, image, mask, label, y, x, radius, light):
    """A traffic cone seen from the side, with its white stripe."""
    _cast_shadow(image, y - 0.3 * radius, x, 0.8 * radius, light)
    color = np.array([232, 110, 52]) * rng.uniform(0.9, 1.05)
    shade = (1 - 0.25 * np.abs(x / radius - 0.4 * light[1]))[..., None]
    flank = (1.75 * np.abs(x) - 0.75 * (y + radius)) / np.hypot(1.75, 0.75)
    outside = np.maximum(flank, y - 0.75 * radius)
    cover(image, outside, color * shade, mask, label)
    cover(image, np.maximum(outside, np.abs(y + 0.05 * radius) - 0.17 * radius), 246 * shade)


def _road(rng, y, x, inside):
    """Asphalt between a solid line along the edge and a dashed one along the middle."""
    image = 84 + 3 * _noise(rng, x.shape, (12, 8)) + rng.normal(0, 6, (*x.shape, 1))
    image = image + np.array([-2, 0, 6])
    middle = 0.55 * float(x.max())
    dash = np.abs((y + rng.uniform(0, 24)) % 24 - 12) - 7
    paint = 232 + rng.normal(0, 5, (*x.shape, 1))
    cover(image, np.abs(inside - 5) - 0.9, paint)
    cover(image, np.maximum(np.abs(inside - middle) - 1.1, dash), paint * np.array([1, 0.87, 0.5]))
    return image


def _tiles(rng, y, x, inside):
    """Glazed tiles, alternately white and blue, and the joints between them."""
    pitch = 10.5
    v, u = y + rng.uniform(0, pitch), x + rng.uniform(0, pitch)
    row, column = (v // pitch).astype(int), (u // pitch).astype(int)
    colors = np.array([(242, 240, 234), (128, 172, 190)])
    glaze = rng.normal(1, 0.03, (row.max() + 1, column.max() + 1))[row, column]
    within_v, within_u = v % pitch - pitch / 2, u % pitch - pitch / 2
    gloss = 1 - 0.012 * (within_v + within_u)
    image = colors[(row + column) % 2] * (glaze * gloss)[..., None]
    joint = pitch / 2 - 0.4 - np.maximum(np.abs(within_v), np.abs(within_u))
    cover(image, joint, np.array([178, 174, 166]))
    return image


def _grass(rng, y, x, inside):
    """Blades of many greens, the nearer in front, and a few daisies."""
    height, width = x.shape
    fine = 3  # drawn this much larger, then averaged, for smooth edges
    picture = Image.new("RGB", (width * fine, height * fine), (66, 116, 50))
    draw = ImageDraw.Draw(picture)
    count = height * width // 9
    dark, bright = np.array([58, 112, 42]), np.array([158, 200, 88])
    colors = (dark + rng.uniform(0, 1, (count, 1)) * (bright - dark)).astype(int).tolist()
    foot = np.sort(rng.uniform(0, height + 8, count))
    at, lean, length = rng.uniform((0, -3, 5), (width, 3, 10), (count, 3)).T
    blades = np.stack([at - 0.8, foot, at + 0.8, foot, at + lean, foot - length], axis=1)
    for blade, color in zip((fine * blades).tolist(), colors, strict=True):
        draw.polygon(blade, tuple(color))
    image = np.asarray(picture.resize((width, height), Image.Resampling.BOX), "float32").copy()
    for _ in range(rng.integers(3, 8)):
        away = np.hypot(y - rng.uniform(2, height - 2), x - rng.uniform(2, width - 4))
        cover(image, away - 1.7, np.array([250, 248, 240]))
        cover(image, away - 0.6, np.array([244, 200, 60]))
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
    cover(image, np.abs(inside - 2.5 - drift) - 0.8, np.array([244, 250, 248]))
    return image


OBJECTS = {"disc": _disc, "box": _box, "cone": _cone}
BANDS = {"road": _road, "tiles": _tiles, "grass": _grass, "water": _water}
