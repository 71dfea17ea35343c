"""The model class of EncNet and FCN: trains on images and masks, segments images."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, overload

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.graph.compiled import CompiledOutputs
from keras_encnet.masks import (
    assert_ids,
    assert_size,
    check_ids,
    check_mask,
    check_size,
    targets_per_output,
)
from keras_encnet.models.images import checked_batch
from keras_encnet.models.resizing_model import ResizingModel
from keras_encnet.utils import compat
from keras_encnet.utils.sizes import Size

# Prefixes of the outputs whose last axis is the classes.
CLASS_OUTPUTS = ("segmentation", "presence")


@keras.saving.register_keras_serializable(package="keras_encnet")
class SegmentationModel(ResizingModel):
    """A functional model from images to a dict of named outputs.

    In addition to `keras.Model`, the target of `fit` and `evaluate` is the mask: integers
    `(batch, height, width)`, one class id per pixel, with or without a trailing axis of 1. `fit`,
    `evaluate`, `predict` and `segment` check that images are raw, with values in 0 to 255;
    normalized, if the model was built with `include_preprocessing=False`. The builders return
    this class, and `keras.models.load_model` restores it.

    With a `working_size`, `segment`, `predict`, `evaluate` and the validation of `fit` resize
    images to it, and logits and class ids to the size of the image. Training and calls of the
    model take images as they are.

    Args:
        inputs: Input tensor `(batch, height, width, channels)`.
        outputs: Dict of output tensors. `"segmentation"` holds the logits
            `(batch, height, width, classes)` at the size of the input.
        name: String, name of the model.
        backbone_layers: Sequence of strings, names of the layers of the backbone.
        class_names: Sequence of one string per class, or None. Can be set later.
        working_size: Integer, the long side to which images are resized; a pair of integers,
            bounds of the long and of the short side; or None (`"native"`), to keep their size. The
            aspect ratio is kept, and smaller images are enlarged. Can be set later.
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: Mapping[str, keras.KerasTensor],
        name: str | None = None,
        *,
        backbone_layers: Sequence[str] = (),
        class_names: Sequence[str] | None = None,
        working_size: Size = None,
        **kwargs: Any,
    ):
        names = backbone_layers or compat.cloned_config(outputs).get("backbone_layers", ())
        super().__init__(
            inputs, outputs, name, class_names=class_names, working_size=working_size, **kwargs
        )
        existing = {layer.name for layer in self.layers}
        self.backbone_layers = tuple(name for name in names if name in existing)

    @property
    def classes(self) -> int:
        """Number of classes."""
        per_class = [t for name, t in self.output.items() if name.split("_")[0] in CLASS_OUTPUTS]
        return per_class[0].shape[-1]

    @property
    def head_layers(self) -> tuple[str, ...]:
        """Names of the layers with weights that do not belong to the backbone."""
        backbone = set(self.backbone_layers)
        return tuple(
            layer.name for layer in self.layers if layer.weights and layer.name not in backbone
        )

    def with_outputs(self, outputs: str | Sequence[str]) -> SegmentationModel:
        """Returns a model with only these outputs, which computes only what they need.

        It shares layers and weights with this model.

        Args:
            outputs: Names of outputs, such as `("segmentation",)`.

        Raises:
            ValueError: If the model does not have one of the outputs.
        """
        outputs = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        unknown = [name for name in outputs if name not in self.output]
        if unknown or not outputs:
            raise ValueError(
                f"`outputs` must name some of {sorted(self.output)}. Received: outputs={outputs}"
            )
        return SegmentationModel(
            self.input,
            {name: self.output[name] for name in outputs},
            name=self.name,
            backbone_layers=self.backbone_layers,
            class_names=self._class_names,
            working_size=self.working_size,
        )

    def freeze_backbone_batch_normalization(self) -> None:
        """Freezes statistics and parameters of batch normalization in the backbone.

        For fine-tuning with batches that are too small to estimate statistics. Call it before
        `compile`. It is saved with the model.
        """
        for name in self.backbone_layers:
            layer = self.get_layer(name)
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False

    @overload
    def segment(
        self,
        images: np.ndarray,
        window: int | None = ...,
        overlap: int | None = ...,
        size: Size = ...,
        probabilities: bool = ...,
    ) -> np.ndarray: ...
    @overload
    def segment(
        self,
        images: Sequence[np.ndarray],
        window: int | None = ...,
        overlap: int | None = ...,
        size: Size = ...,
        probabilities: bool = ...,
    ) -> list[np.ndarray]: ...
    def segment(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        window: int | None = None,
        overlap: int | None = None,
        size: Size = None,
        probabilities: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Predicts the class of every pixel.

        Images are resized to the working size, and logits to the size of the image. Memory grows
        with the size at which the network sees an image. With `window` it is bounded, except for
        the image and the result: larger images are processed in windows. Where windows overlap,
        logits are averaged with weights that fall linearly towards the border of a window, so
        that there are no seams: the product, over both axes, of the distance of a pixel from the
        nearest border. Context, such as the codes of EncNet, is then that of a window, not of the
        image, and so are predictions.

        Args:
            images: One image `(height, width, channels)`, usually RGB, a batch
                `(batch, height, width, channels)`, or a list of images of any size; integers or
                floats in 0 to 255, or in the range of the `mean` and `std` that the model was
                built with. Normalized floats for one built with `include_preprocessing=False`.
            window: None for entire images, or the height and width of the windows in pixels of
                the resized image, preferably about the size of the crops in training or larger.
            overlap: Number of pixels that neighboring windows have in common, less than
                `window`. Defaults to a quarter of `window`.
            size: Integer, the long side at which the network sees the images; a pair, bounds of
                the long and of the short side; or `"native"`, for their own size. Defaults to the
                working size of the model.
            probabilities: Whether to return the probability of each class instead. They take
                4 bytes per class and pixel; `training.predict --probabilities` writes those of
                large images to a file, a few rows at a time.

        Returns:
            Class ids `(height, width)` or `(batch, height, width)`, or a list of the former;
            uint8 for up to 256 classes, otherwise int32. With `probabilities`, float32 from 0 to
            1 with one more axis, the classes, over which they sum to 1.

        Raises:
            ValueError: If shapes, dtypes or values are not those of such images, or if `window`,
                `overlap` or `size` is out of range.
        """
        if isinstance(images, (list, tuple)):
            return [self.segment(image, window, overlap, size, probabilities) for image in images]
        batch = checked_batch(images, self.expected_images)
        seen = self.network_size(batch.shape[1:3], size)
        outputs = self._compiled_segmentation(batch, window, overlap, seen, probabilities)
        [predictions] = outputs.values()
        return predictions[0] if np.ndim(images) == 3 else predictions

    # A cached property, since Keras would track a plain attribute and save it with the model.
    @functools.cached_property
    def _compiled_segmentation(self):
        return CompiledOutputs(self, self.with_outputs("segmentation").output)

    # Training on masks: shapes and ids are checked before a batch reaches the network, and every
    # output gets the mask as its target.

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        _refuse_class_weight(kwargs)
        self._check_array(y)
        validation = kwargs.get("validation_data")
        if isinstance(validation, (tuple, list)) and len(validation) > 1:
            self._check_array(validation[1])
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not compat.is_validation_of_fit(kwargs):  # which `fit` has checked
            self._check_array(y)
        return super().evaluate(x, y, *args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        _refuse_class_weight(kwargs)
        return super().train_on_batch(*args, **kwargs)

    def batch_checks(self, x: Any, y: Any) -> list[tf.Operation]:
        if tf.executing_eagerly():
            check_mask(y)
            check_size(y.shape, x.shape)
            self._check_array(y)
            return []
        if y is None or y.shape.rank is not None:
            check_mask(y)
        ignored = self._ignored_labels
        with tf.device("CPU:0"):  # where batches arrive: no waiting for the step before
            size = assert_size(y, x)
            return [size] if ignored is None else [size, assert_ids(y, self.classes, ignored)]

    def _check_array(self, mask):
        """Checks masks that are in memory, before the first step."""
        if self._ignored_labels is not None and isinstance(mask, (np.ndarray, tf.Tensor)):
            check_mask(mask)
            check_ids(np.asarray(mask), self.classes, self._ignored_labels)

    @property
    def _ignored_labels(self):
        """The ignored labels of the loss, None if it is no loss of class ids."""
        losses = [loss for loss in tf.nest.flatten(self.loss) if hasattr(loss, "ignore_class")]
        if not losses:
            return None
        return () if losses[0].ignore_class is None else losses[0].ignore_class

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        targets, weights = targets_per_output(y, y_pred, sample_weight)
        return super().compute_loss(
            x=x, y=targets, y_pred=y_pred, sample_weight=weights, training=training
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        targets, weights = targets_per_output(y, y_pred, sample_weight)
        return super().compute_metrics(x, targets, y_pred, sample_weight=weights)

    def own_config(self) -> dict:
        return {**super().own_config(), "backbone_layers": list(self.backbone_layers)}


def _refuse_class_weight(arguments):
    if arguments.get("class_weight") is not None:
        raise ValueError(
            "`class_weight` does not apply to masks. Weight the classes in the losses: "
            "`model.compile(optimizer, **objectives(model, class_weights=[...]))` with one weight "
            f"per class. Received: class_weight={arguments['class_weight']}"
        )
