"""What the int8 exports share: their arguments, calibration images and float32 layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_encnet.export.network import NO_INT8, check_exportable
from keras_encnet.models.images import checked_batch
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.utils.sizes import resize_images, scaled_size

PRECISIONS = ("float32", "dynamic_int8", "int8")
CALIBRATION = (
    "`calibration` must be raw images of the kind that the file will get: an array "
    "`(count, height, width, channels)`, or a list or data set of images "
    "`(height, width, channels)`; about 100 images of the training data."
)


def calibration_images(
    model: keras.Model,
    precision: str,
    precisions: Collection[str],
    calibration: Any = None,
    size: Sequence[int] | None = None,
) -> list[np.ndarray]:
    """Checks `precision` and `calibration`, and returns the images that calibrate an int8 export.

    Args:
        model: the model that will be exported.
        precision: the argument of an export.
        precisions: its possible values.
        calibration: the argument of an export: raw images, or batches of them. Unless the file
            takes one size only, they are resized to the working size of the model.
        size: the argument of an export, `(height, width)` or None.

    Returns:
        float32 images `(1, height, width, channels)`; none unless `precision` is `"int8"`.

    Raises:
        ValueError: for a model that cannot be exported; for another precision; for `"int8"` without
            images, images for another precision, and images that the exported file could not take.
    """
    check_exportable(model)
    if precision not in precisions:
        raise ValueError(
            f"`precision` must be one of {sorted(precisions)}. Received: precision={precision!r}"
        )
    if precision != "int8":
        if calibration is not None:
            raise ValueError(
                "Only `precision='int8'` is calibrated with images: omit `calibration`. "
                f"Received: precision={precision!r}"
            )
        return []
    if not isinstance(calibration, Iterable) or isinstance(calibration, str | bytes | dict):
        raise ValueError(
            f"`precision='int8'` requires images. {CALIBRATION} "
            f"Received: calibration={calibration!r}"
        )
    fixed = model.input.shape[1:3] if size is None else tuple(size)
    single = _single_images(calibration, model.expected_images)
    images = [_as_seen(image, model, fixed) for image in single]
    if not images:
        raise ValueError(f"{CALIBRATION} Received: no images")
    return images


def _single_images(calibration, expected):
    """Yields the images of a data set or an array, checked, as batches of one."""
    is_image = getattr(calibration, "ndim", None) == 3
    for number, batch in enumerate([calibration] if is_image else calibration):
        try:
            images = checked_batch(batch, expected)
        except ValueError as error:
            raise ValueError(f"Image {number} of `calibration`: {error}") from error
        for image in images:
            yield image[None]


def _as_seen(image, model, fixed):
    """Returns an image as the network will see it, float32."""
    own = image.shape[1:3]
    if None not in fixed:
        if tuple(fixed) != own:
            raise ValueError(
                f"The file will take images of {tuple(fixed)} only: resize those of `calibration` "
                f"to this height and width. Received: image of {own}"
            )
    elif isinstance(model, SegmentationModel) and model.working_size is not None:
        return resize_images(image, scaled_size(own, model.working_size)).numpy()
    return image.astype("float32")


def stays_in_float32(name: str) -> bool:
    """Returns whether a tensor or operation of a converted network is not to be quantized.

    >>> stays_in_float32("encnet_1/relu_1/Relu;encnet_1/no_int8_logits_1/Conv2D")
    True

    Args:
        name: its name, of one or, joined by semicolons, of several operations.
    """
    return any(scope.startswith(NO_INT8) for scope in re.split("[/;]", name))
