"""The model class of EncNet and FCN: trains on images and masks, segments raw images."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, overload

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.masks import check_element, check_ids, check_mask, targets_per_output
from keras_encnet.models.image_model import ImageModel, check_raw
from keras_encnet.preprocessing import preprocess_input
from keras_encnet.utils import compat

# Prefixes of the outputs whose last axis is the classes.
CLASS_OUTPUTS = ("segmentation", "presence")
# Number of images of one size that `segment` processes at a time, which bounds its memory.
SEGMENT_BATCH = 8


@keras.saving.register_keras_serializable(package="keras_encnet")
class SegmentationModel(ImageModel):
    """A functional model from normalized images to a dict of named outputs.

    In addition to `keras.Model`, the target of `fit` and `evaluate` is the mask: integers
    `(batch, height, width)`, one class id per pixel, with or without a trailing axis of 1. The
    model stores the normalization of its images, so that `segment` takes raw images. The builders
    return this class, and `keras.models.load_model` restores it.

    Args:
        inputs: Input tensor `(batch, height, width, channels)`.
        outputs: Dict of output tensors. `"segmentation"` holds the logits
            `(batch, height, width, classes)` at the size of the input.
        name: String, name of the model.
        preprocessing: String, mode of `keras_encnet.preprocess_input` for the images.
        backbone_layers: Sequence of strings, names of the layers of the backbone.
        class_names: Sequence of one string per class, or None. Can be set later.
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: Mapping[str, keras.KerasTensor],
        name: str | None = None,
        *,
        preprocessing: str = "torch",
        backbone_layers: Sequence[str] = (),
        class_names: Sequence[str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            inputs,
            outputs,
            name,
            preprocessing=preprocessing,
            class_names=class_names,
            **kwargs,
        )
        self.backbone_layers = tuple(backbone_layers)

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
            preprocessing=self.preprocessing,
            backbone_layers=self.backbone_layers,
            class_names=self._class_names,
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

    # Inference on raw images.

    @overload
    def segment(self, images: np.ndarray) -> np.ndarray: ...
    @overload
    def segment(self, images: Sequence[np.ndarray]) -> list[np.ndarray]: ...
    def segment(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray | list[np.ndarray]:
        """Predicts the class of every pixel of raw images.

        Args:
            images: One RGB image `(height, width, 3)`, a batch `(batch, height, width, 3)`, or a
                list of images of any size; integers or floats in 0 to 255.

        Returns:
            Class ids `(height, width)` or `(batch, height, width)`, or a list of the former;
            uint8 for up to 256 classes, otherwise int32.

        Raises:
            ValueError: If shapes, dtypes or values are not those of raw images.
        """
        if isinstance(images, (list, tuple)):
            return [self._segment(np.asarray(image)) for image in images]
        return self._segment(np.asarray(images))

    def _segment(self, images):
        check_raw(images)
        batch = images[None] if images.ndim == 3 else images
        dtype = "uint8" if self.classes <= 256 else "int32"
        parts = [
            self._class_map(preprocess_input(batch[i : i + SEGMENT_BATCH], self.preprocessing))
            for i in range(0, len(batch), SEGMENT_BATCH)
        ]
        masks = np.concatenate(parts).astype(dtype)
        return masks[0] if images.ndim == 3 else masks

    # A cached property, since Keras would track a plain attribute and save it with the model.
    @functools.cached_property
    def _class_map(self):
        """Function from a batch of normalized images to class ids, traced once for all sizes."""

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
        def class_map(images):
            logits = self.with_outputs("segmentation")(images, training=False)["segmentation"]
            return tf.argmax(logits, -1, tf.int32)

        return class_map

    # Training on masks: ids are checked before a batch reaches the network, and every output gets
    # the mask as its target.

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        x = self._checked(x, y)
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple):
            self._checked(*validation[:2])
        elif validation is not None:
            kwargs["validation_data"] = self._checked(validation)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not compat.is_validation_of_fit(kwargs):  # which `fit` has checked
            x = self._checked(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def _checked(self, x, y=None):
        """Checks the masks in `y` if it is an array. Returns `x`, with a check if it is a dataset.

        The losses check ids as well, but XLA, with which Keras compiles steps on GPUs, drops
        assertions, and wrong ids would turn the weights into NaN.
        """
        loss = self.loss.get("segmentation") if isinstance(self.loss, dict) else None
        if not hasattr(loss, "ignore_class"):
            return x
        if isinstance(y, np.ndarray):
            check_mask(y)
            check_ids(y, self.classes, loss.ignore_class)
        if isinstance(x, tf.data.Dataset) and isinstance(x.element_spec, tuple):
            return x.map(functools.partial(check_element, self.classes, loss.ignore_class))
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        targets, weights = targets_per_output(y, y_pred, sample_weight)
        return super().compute_loss(
            x=x, y=targets, y_pred=y_pred, sample_weight=weights, training=training
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        targets, weights = targets_per_output(y, y_pred, sample_weight)
        return super().compute_metrics(x, targets, y_pred, sample_weight=weights)

    def get_config(self) -> dict:
        return {**super().get_config(), "backbone_layers": list(self.backbone_layers)}
