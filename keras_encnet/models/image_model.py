"""The base of both tasks' models: checks the images and stores the class names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_encnet.layers.image_normalization import normalization_in
from keras_encnet.models.images import Expected, expected_by, with_checked_images
from keras_encnet.models.scalable_model import ScalableModel
from keras_encnet.utils import compat

NO_H5 = (
    "Keras restores models of this package from its own format only; `.h5` files would need every "
    "class in `custom_objects`. Save to a path that ends in `.keras`, or only the weights with "
    "`save_weights` to one that ends in `.weights.h5`."
)


class ImageModel(ScalableModel):
    """A functional model from images to outputs per class.

    With an `ImageNormalization` layer, which the builders add, the images are raw: uint8 or float,
    in 0 to 255 unless the layer has a mean and a standard deviation of its own. `fit`, `evaluate`,
    `predict`, `train_on_batch`, `test_on_batch` and `predict_on_batch` raise an error for other
    images: they check arrays completely, and the first batch of everything else. Without the layer
    they expect normalized floats. Calling the model does not check images.

    Args:
        inputs: Input tensor `(batch, height, width, channels)`.
        outputs: Output tensor, or a dict of output tensors.
        name: String, name of the model.
        class_names: Sequence of one string per class, or None. Can be set later.

    Raises:
        ValueError: If there is not one name per class.
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: keras.KerasTensor | Mapping[str, keras.KerasTensor],
        name: str | None = None,
        *,
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        if class_names is None:
            class_names = compat.cloned_config(outputs).get("class_names")
        compat.forget_clone(outputs)
        self.class_names = class_names

    @property
    def preprocessing(self) -> str | None:
        """Mode of the model's normalization of raw images; None if it takes normalized images."""
        return normalization_in(self)

    @property
    def channels(self) -> int:
        """Number of channels of the images."""
        return self.input.shape[-1]

    @property
    def expected_images(self) -> Expected:
        """What the methods of the model expect of images."""
        return expected_by(self)

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

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        validation = kwargs.get("validation_data")
        if isinstance(validation, (tuple, list)):
            self._with_checked_images(validation[0])
        elif validation is not None:
            kwargs["validation_data"] = self._with_checked_images(validation)
        return super().fit(self._with_checked_images(x), y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not compat.is_validation_of_fit(kwargs):  # which `fit` has checked
            x = self._with_checked_images(x)
        return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        with compat.plain_assertions():
            return super().predict(self._with_checked_images(x), *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().train_on_batch(self._with_checked_images(x), *args, **kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return super().test_on_batch(self._with_checked_images(x), *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        return super().predict_on_batch(self._with_checked_images(x))

    def save(self, filepath: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        if os.fspath(filepath).endswith((".h5", ".hdf5")):  # before Keras opens the file
            raise ValueError(f"{NO_H5} Received: filepath={str(filepath)!r}")
        super().save(filepath, *args, **kwargs)

    def _with_checked_images(self, data):
        return with_checked_images(data, self.expected_images)

    def own_config(self) -> dict:
        return {"class_names": None if self._class_names is None else list(self._class_names)}

    def get_config(self) -> dict:
        if compat.is_saving_h5():  # `keras.saving.save_model` does not call `save`
            raise ValueError(f"{NO_H5} Received: a path that ends in `.h5` or `.hdf5`")
        return {**super().get_config(), **self.own_config()}
