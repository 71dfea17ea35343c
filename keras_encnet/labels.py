"""Class names and colors of the data sets of the published weights: dicts from names to RGB."""

import functools

import numpy as np

from keras_encnet.utils.colors import cielab, color_difference


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


def _colored(names, colors):
    return dict(zip(names, (tuple(color) for color in colors), strict=True))


_ADE20K_NAMES = (
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

_VOC_NAMES = (
    "background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, "
    "dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
).split(", ")

# The 59 classes in the order of their ids in the 459-class labels, which is alphabetical.
_PASCAL_CONTEXT_NAMES = (
    "aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, "
    "cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, "
    "floor, flower, food, grass, ground, horse, keyboard, light, motorbike, mountain, mouse, "
    "person, plate, platform, pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow, "
    "sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood"
).split(", ")

# The colors of the code of the benchmark, as hexadecimal digits of red, green and blue.
_ADE20K_COLORS = [
    tuple(bytes.fromhex(color))
    for color in """
    787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d
    787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0
    0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06
    ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00
    ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70
    00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99
    ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52
    000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00
    08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff
    9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00
    00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8
    005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
    """.split()
]

ADE20K = _colored(_ADE20K_NAMES, _ADE20K_COLORS)
VOC = _colored(_VOC_NAMES, voc_palette(21).tolist())
# The data set has no colors; mmsegmentation uses the first ones of ADE20K.
PASCAL_CONTEXT_60 = _colored(["background", *_PASCAL_CONTEXT_NAMES], _ADE20K_COLORS[:60])
PASCAL_CONTEXT = {name: PASCAL_CONTEXT_60[name] for name in _PASCAL_CONTEXT_NAMES}
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

    Each color is the one that differs most from all colors before it and from black, gray and
    white, so classes are easy to tell apart, and those of fewer classes are the first of those of
    more. Published palettes do not have this property: that of ADE20K has one gray twice. Two of
    the first 30 colors differ by at least 16 (CIEDE2000), two of the first 150 by at least 8.

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
    lab = cielab(candidates)
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    # Neither dark, pale nor garish: legible on top of photos, next to white for no class.
    usable = (lightness > 35) & (lightness < 85) & (chroma < 90)
    candidates, lab = candidates[usable], lab[usable]
    grays = cielab(np.array([[0] * 3, [128] * 3, [255] * 3]))
    difference = np.min([color_difference(lab, gray) for gray in grays], axis=0)
    colors = []
    for _ in range(count):
        farthest = np.argmax(difference)
        colors.append(candidates[farthest])
        difference = np.minimum(difference, color_difference(lab, lab[farthest]))
    return np.array(colors, "uint8")
