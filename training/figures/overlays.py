"""Masks in color, with and without their images."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.patches import Patch

from keras_encnet.labels import default_palette
from keras_encnet.utils.files import atomic_file
from keras_encnet.utils.png import encode_indexed_png
from training.figures.saving import save_figure

# Largest height and width in figures: Matplotlib takes 150 bytes per pixel.
SIDE = 2048
# White: ignored labels and any other id that is not a class.
NO_CLASS = (255, 255, 255)


def colorize(mask: np.ndarray, classes: int) -> np.ndarray:
    """Returns a mask `(height, width)` in the colors of its classes: uint8 `(height, width, 3)`.

    Ids that are not a class, such as ignored labels, become white.
    """
    colors = np.vstack([default_palette(classes), NO_CLASS]).astype("uint8")
    return colors[np.where((mask >= 0) & (mask < classes), mask, classes)]


def thinned(pixels: np.ndarray) -> np.ndarray:
    """Returns every n-th row and column of an image or a mask, so that no side exceeds `SIDE`."""
    step = -(-max(pixels.shape[:2]) // SIDE)
    return pixels[::step, ::step]


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Returns an image with any number of channels as it is shown: uint8 `(height, width, 3)`.

    The first three channels are red, green and blue; images with fewer are shown in gray, by the
    first. Values of another type than uint8 are stretched, for all channels together: their 2nd to
    98th percentile is black to white.
    """
    shown = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].repeat(3, -1)
    if shown.dtype == np.uint8:
        return shown
    low, high = np.percentile(thinned(shown), (2, 98))
    return ((shown - low) * (255 / max(high - low, 1e-12))).clip(0, 255).round().astype("uint8")


def overlay(image: np.ndarray, mask: np.ndarray, classes: int, opacity: float = 0.55) -> np.ndarray:
    """Blends a colored mask over its image.

    Args:
        image: `(height, width, channels)`, see `as_rgb`.
        mask: class ids `(height, width)`.
        classes: number of classes.
        opacity: weight of the mask, 0 to 1.

    Returns:
        A uint8 array `(height, width, 3)`.
    """
    mixed = (1 - opacity) * as_rgb(image) + opacity * colorize(mask, classes)
    return mixed.round().astype("uint8")


def save_mask(path: str | os.PathLike, mask: np.ndarray, classes: int) -> None:
    """Writes a mask as a PNG whose pixels are the class ids, with a palette.

    PNG has no palettes above 256 classes; such a mask is written as 16-bit grayscale.
    """
    png = encode_indexed_png(mask, default_palette(classes)).numpy()
    with atomic_file(path) as temporary:
        temporary.write_bytes(png)


def save_overlay(
    path: str | os.PathLike, image: np.ndarray, mask: np.ndarray, class_names: Sequence[str]
) -> None:
    """Writes the overlay of one image with a legend of the classes in it.

    Images of more than 2048 pixels on a side are reduced.
    """
    present, image, mask = np.unique(mask), thinned(image), thinned(mask)
    height, width = mask.shape
    size = (max(width, 120) / 100 + 1.8, max(height, 120) / 100 + 0.2)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.imshow(overlay(image, mask, len(class_names)))
    axis.axis("off")
    add_legend(axis, present, class_names, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(path, figure)


def save_comparison(
    path: str | os.PathLike,
    rows: Sequence[Sequence[np.ndarray]],
    columns: Sequence[str],
    class_names: Sequence[str],
) -> None:
    """Writes a page with one row per image: the image, then masks such as truth and prediction.

    Args:
        path: the PNG file.
        rows: one sequence per row: the image, uint8 RGB `(height, width, 3)`, then masks
            `(height, width)`.
        columns: one title per column.
        class_names: one name per class.
    """
    height, width = rows[0][0].shape[:2]
    scale = 2.6 / max(width, 1) if width >= height else 2.0 / height
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(len(columns) * width * scale, len(rows) * height * scale + 0.9),
        squeeze=False,
        layout="constrained",
    )
    for row_axes, row in zip(axes, rows, strict=True):
        for axis, part in zip(row_axes, row, strict=True):
            axis.imshow(part if part.ndim == 3 else colorize(part, len(class_names)))
            axis.axis("off")
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=9)
    shown = np.unique(np.concatenate([mask.ravel() for row in rows for mask in row[1:]]))
    add_legend(figure, shown, class_names, loc="outside lower center", ncols=8)
    save_figure(path, figure)


def add_legend(
    parent: Axes | FigureBase, ids: Iterable[int], class_names: Sequence[str], **options: Any
) -> None:
    """Adds a legend of the classes in `ids` to an axis or a figure; other ids have no entry."""
    colors = default_palette(len(class_names)) / 255
    patches = [
        Patch(facecolor=colors[i], label=class_names[i]) for i in ids if 0 <= i < len(class_names)
    ]
    parent.legend(handles=patches, fontsize=8, frameon=False, **options)
