"""Class names and palettes of the datasets of the published weights."""

import functools

import numpy as np

ADE20K = (
    "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, "
    "person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, "
    "shelf, house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, "
    "bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, "
    "sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool "
    "table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, "
    "flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, "
    "boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, "
    "streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land, "
    "bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer "
    "belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, "
    "minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, "
    "lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, "
    "ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, "
    "clock, flag"
).split(", ")

VOC = (
    "background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, "
    "dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
).split(", ")

# The 59 classes in the order of their ids in the 459-class labels, which is alphabetical.
PASCAL_CONTEXT = (
    "aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, "
    "cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, "
    "floor, flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse, "
    "person, plate, platform, pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow, "
    "sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood"
).split(", ")

CITYSCAPES = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}


def default_palette(classes: int) -> np.ndarray:
    """Returns the default colors of classes in predictions, figures and exports.

    Each color is the one farthest from all colors before it, so classes are easy to tell apart,
    and those of fewer classes are the first of those of more.

    Args:
        classes: number of classes. Colors repeat after 256.

    Returns:
        uint8 array `(classes, 3)`, RGB.

    References:
        - [Glasbey et al., Colour displays for categorical images](https://doi.org/10.1002/col.20327)
    """
    return np.resize(_distinct_colors(256), (classes, 3))


@functools.cache
def _distinct_colors(count):
    levels = np.arange(0, 256, 17)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lab = _lab(candidates)
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    # Neither dark, pale nor garish: legible on top of photos, next to white for no class.
    usable = (lightness > 35) & (lightness < 80) & (chroma < 72)
    candidates, lab = candidates[usable], lab[usable]
    grays = _lab(np.array([[0] * 3, [128] * 3, [255] * 3]))
    distance = np.linalg.norm(lab[:, None] - grays, axis=-1).min(1)
    colors = []
    for _ in range(count):
        farthest = np.argmax(distance)
        colors.append(candidates[farthest])
        distance = np.minimum(distance, np.linalg.norm(lab - lab[farthest], axis=-1))
    return np.array(colors, "uint8")


def _lab(rgb):
    """Converts sRGB `(n, 3)` in 0 to 255 to CIELAB under D65, where distances are perceptual."""
    rgb = rgb / 255
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    xyz = linear @ to_xyz / [0.9505, 1.0, 1.0890]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def voc_palette(classes: int) -> np.ndarray:
    """Returns the color map of PASCAL VOC: uint8 `(classes, 3)`.

    From the lowest bit of an id on, every three bits become the next bit of red, green and blue,
    starting with their highest.

    >>> voc_palette(3).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    ids = np.arange(classes)[:, None]
    channels = np.arange(3)
    bits = [((ids >> (3 * bit + channels)) & 1) << (7 - bit) for bit in range(8)]
    return np.sum(bits, axis=0).astype("uint8")
