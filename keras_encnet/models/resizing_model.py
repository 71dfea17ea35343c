"""A model that resizes its images to the size at which its network was trained."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_encnet.graph.compiled import OutputsAtOwnSize
from keras_encnet.models.image_model import ImageModel
from keras_encnet.utils import compat
from keras_encnet.utils.sizes import (
    Size,
    WorkingSize,
    checked_working_size,
    resize_images,
    scaled_size,
)

# The model of which this thread runs a step of evaluation or prediction.
_evaluated: contextvars.ContextVar[Any] = contextvars.ContextVar("evaluated", default=None)


class ResizingModel(ImageModel):
    """A functional model from images to a dict of outputs, with a working size.

    A network recognizes objects and scenes at the scale at which it has seen them in training.
    `predict`, `evaluate` and the validation of `fit` therefore resize images to the working size,
    with antialiasing, and logits of pixels to the size of the image. Training and calls of the
    model take images as they are.

    Only the steps of training are compiled with XLA, if `compile` or Keras asks for it: it would
    compile the network again for each size of the images that are evaluated.

    Args:
        inputs: Input tensor `(batch, height, width, channels)`.
        outputs: Dict of output tensors. Names of logits of pixels start with `"segmentation"`.
        name: String, name of the model.
        working_size: Integer, the long side of resized images; a pair of integers, bounds of the
            long and of the short side; or None (`"native"`), to keep the size of the images. The
            aspect ratio is kept, and smaller images are enlarged. Can be set later.

    Raises:
        ValueError: If the working size is none of these, or if the input of the network has a
            fixed size.
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: Mapping[str, keras.KerasTensor],
        name: str | None = None,
        *,
        working_size: Size = None,
        **kwargs: Any,
    ):
        if working_size is None:
            working_size = compat.cloned_config(outputs).get("working_size")
        super().__init__(inputs, outputs, name, **kwargs)
        self.working_size = working_size

    @property
    def working_size(self) -> WorkingSize:
        """Size at which the network sees images, see the class. Saved with the model."""
        return self._working_size

    @working_size.setter
    def working_size(self, working_size: Size) -> None:
        self._working_size = self._checked_size("working_size", working_size)
        self.test_function = self.predict_function = None  # traced for another size

    def network_size(self, size: Sequence[int], working_size: Size = None) -> tuple[int, int]:
        """Returns the size at which the network sees an image.

        Args:
            size: Height and width of the image.
            working_size: Integer, pair or `"native"`, in place of the working size of the model.

        Returns:
            Height and width, rounded to integers of at least 1.

        Raises:
            ValueError: If `working_size` is none of these.
        """
        height, width = scaled_size(size, self.chosen_size(working_size)).numpy().tolist()
        return height, width

    def resized(self, images: tf.Tensor, working_size: Size = None) -> tf.Tensor:
        """Returns images as the network sees them.

        Args:
            images: Tensor `(batch, height, width, channels)`.
            working_size: As of `network_size`.

        Returns:
            Resized images in float32, or `images` at their native size.
        """
        size = self.chosen_size(working_size)
        if size is None:
            return images
        images = tf.ensure_shape(images, self.input.shape)
        return resize_images(images, scaled_size(tf.shape(images)[1:3], size))

    def outputs_for(self, images: tf.Tensor, working_size: Size = None) -> dict[str, tf.Tensor]:
        """Returns the outputs for images that the network sees at the working size.

        Args:
            images: Tensor `(batch, height, width, channels)`.
            working_size: As of `network_size`.

        Returns:
            Dict of outputs. Logits of pixels have the height and width of `images`.
        """
        if self.chosen_size(working_size) is None:
            return self(images, training=False)
        return self._at_own_size(images, self.resized(images, working_size))

    def chosen_size(self, size: Size = None) -> WorkingSize:
        """Returns the working size that a user has chosen: by default that of the model."""
        return self.working_size if size is None else self._checked_size("size", size)

    def _checked_size(self, name, size):
        checked = checked_working_size(size, name)
        shape = self.input.shape
        if checked is not None and tuple(shape[1:3]) != (None, None):
            raise ValueError(
                f"The network takes images of {shape[1]} x {shape[2]} pixels only. Build it with "
                f"`input_shape=(None, None, {shape[3]})` for other sizes. Received: {name}={size!r}"
            )
        return checked

    # A cached property, since Keras would track a plain attribute and save it with the model.
    @functools.cached_property
    def _at_own_size(self):
        return OutputsAtOwnSize(self)

    def make_test_function(self, force=False):
        with self._without_xla():
            return super().make_test_function(force)

    def make_predict_function(self, force=False):
        with self._without_xla():
            return super().make_predict_function(force)

    @contextlib.contextmanager
    def _without_xla(self) -> Iterator[None]:
        uses_xla = self.jit_compile  # type: ignore[has-type]  # Keras has no types
        self.jit_compile = False
        try:
            yield
        finally:
            self.jit_compile = uses_xla

    # Keras's steps of evaluation and prediction call the model; they get outputs for resized
    # images. Their targets and other arguments are unchanged.

    def test_step(self, data):
        with self._evaluating():
            return super().test_step(data)

    def predict_step(self, data):
        with self._evaluating():
            return super().predict_step(data)

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        token = _evaluated.set(self)
        try:
            yield
        finally:
            _evaluated.reset(token)

    def call(self, inputs, training=None, mask=None):
        if self.working_size is None or _evaluated.get() is not self:
            return super().call(inputs, training=training, mask=mask)
        return self.outputs_for(tf.nest.flatten(inputs)[0])

    def own_config(self) -> dict:
        size = self.working_size
        return {
            **super().own_config(),
            "working_size": list(size) if isinstance(size, tuple) else size,
        }
