"""The base of both tasks' models: stores the normalization of the images and the class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_encnet.models.scalable_model import ScalableModel
from keras_encnet.preprocessing import normalization_of


class ImageModel(ScalableModel):
    """A functional model from normalized images to outputs per class.

    Args:
        inputs: Input tensor `(batch, height, width, channels)`.
        outputs: Output tensor, or a dict of output tensors.
        name: String, name of the model.
        preprocessing: String, mode of `keras_encnet.preprocess_input` for the images.
        class_names: Sequence of one string per class, or None. Can be set later.

    Raises:
        ValueError: If the mode is unknown or there is not one name per class.
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: keras.KerasTensor | Mapping[str, keras.KerasTensor],
        name: str | None = None,
        *,
        preprocessing: str,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        normalization_of(preprocessing)  # raises before training if the mode is unknown
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        self.preprocessing = preprocessing
        self.class_names = class_names

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.output.shape[-1]

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per class; `"0"`, `"1"`, ... unless set. Saved with the model."""
        return self._class_names or tuple(str(i) for i in range(self.classes))

    @class_names.setter
    def class_names(self, names: Sequence[str] | None) -> None:
        if names is not None and len(names) != self.classes:
            raise ValueError(
                f"`class_names` must hold one name for each of the {self.classes} classes. "
                f"Received: {len(names)} names"
            )
        self._class_names = None if names is None else tuple(names)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "preprocessing": self.preprocessing,
            "class_names": None if self._class_names is None else list(self._class_names),
        }


def check_raw(images: np.ndarray) -> None:
    """Raises ValueError unless `images` is an array of raw RGB images with values in 0 to 255."""
    if images.ndim not in (3, 4) or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(
            "Expected RGB images `(height, width, 3)` or `(batch, height, width, 3)`, or a list "
            f"of the former. Received: shape={images.shape}"
        )
    if images.dtype.kind not in "uif":
        raise ValueError(f"Images must hold numbers. Received: dtype={images.dtype}")
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 255):
        raise ValueError(
            "Images must be raw, with values in 0 to 255; the model normalizes them. "
            f"Received: values from {low} to {high}"
        )
    if images.dtype.kind == "f" and 0 < high <= 1:
        raise ValueError(
            "Images must be raw, with values in 0 to 255; these seem scaled to 0 to 1. Multiply "
            "them by 255. "
            f"Received: values from {low} to {high}"
        )
