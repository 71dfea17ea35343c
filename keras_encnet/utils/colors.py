"""Colors as people see them: CIELAB, and differences between colors."""

import numpy as np

_LINEAR_TO_XYZ = [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
_WHITE = [0.9505, 1.0, 1.0890]  # D65


def cielab(rgb: np.ndarray) -> np.ndarray:
    """Converts sRGB `(..., 3)` in 0 to 255 to CIELAB under D65.

    >>> cielab(np.array([255, 0, 0])).round(1).tolist()
    [53.2, 80.1, 67.2]
    """
    rgb = np.asarray(rgb) / 255
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ _LINEAR_TO_XYZ / _WHITE
    x, y, z = np.moveaxis(np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def color_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the CIEDE2000 difference of colors in CIELAB, `(..., 3)` each: `(...)`.

    1 is about the least difference that people notice. The names of the variables are those of the
    reference.

    References:
        - [Sharma et al., The CIEDE2000 color-difference formula](https://doi.org/10.1002/col.20070)
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(lab, -1, 0) for lab in (first, second))
    c_mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * _saturation(c_mean)
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = np.arctan2(b1, stretch * a1), np.arctan2(b2, stretch * a2)
    # The shorter way around the circle of hues; grays have none.
    dh = np.where(c1 * c2 == 0, 0, (h2 - h1 + np.pi) % (2 * np.pi) - np.pi)
    h = np.where(c1 * c2 == 0, h1 + h2, h1 + dh / 2)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(dh / 2)
    l, c = (l1 + l2) / 2, (c1 + c2) / 2  # noqa: E741
    s_l = 1 + 0.015 * (l - 50) ** 2 / np.sqrt(20 + (l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c, 1 + 0.015 * c * _hue_weight(h)
    blue = np.exp(-((((np.degrees(h) % 360) - 275) / 25) ** 2))
    rotation = -2 * _saturation(c) * np.sin(np.radians(60 * blue))
    dl, dc, dh = dl / s_l, dc / s_c, dh / s_h
    return np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def _saturation(chroma):
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def _hue_weight(h):
    terms = [(-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63)]
    return 1 + sum(weight * np.cos(n * h + np.radians(shift)) for weight, n, shift in terms)
