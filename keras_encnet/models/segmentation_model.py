"""The model class of EncNet and FCN: fits on (image, mask), segments raw images."""

import functools

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.masks import check_element, check_ids, check_mask, per_output
from keras_encnet.models.image_model import ImageModel, check_raw
from keras_encnet.preprocessing import preprocess_input

# How the outputs begin whose last axis is the classes.
CLASS_OUTPUTS = ("segmentation", "presence")
# Images of one size that `segment` runs through the network at a time, which bounds its memory.
SEGMENT_BATCH = 8


@keras.saving.register_keras_serializable(package="keras_encnet")
class SegmentationModel(ImageModel):
    """A functional model from normalized images to a dict of named outputs.

    What it adds to `keras.Model`: the target of `fit` and `evaluate` is the
    bare mask, `(batch, height, width)` of integers, a trailing 1 allowed; and
    it remembers which normalization its images want, so `segment` takes raw
    ones. It is what the builders return; `load_model` gives it back.

    Args:
        inputs: the input tensor, `(batch, height, width, channels)`.
        outputs: dict of output tensors; `segmentation` holds the logits
            `(batch, height, width, classes)` at input size.
        name: name of the model.
        preprocessing: mode of `keras_encnet.preprocess_input` for the images.
        backbone_layers: names of the layers that belong to the backbone.
        class_names: one name per class, for whoever shows or serves the
            answers; may be set later.
    """

    def __init__(
        self,
        inputs,
        outputs,
        name=None,
        *,
        preprocessing="torch",
        backbone_layers=(),
        class_names=None,
        **kwargs,
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
    def classes(self):
        """Number of classes."""
        per_class = [t for name, t in self.output.items() if name.split("_")[0] in CLASS_OUTPUTS]
        return per_class[0].shape[-1]

    @property
    def head_layers(self):
        """Names of the layers with weights that don't belong to the backbone."""
        backbone = set(self.backbone_layers)
        return tuple(
            layer.name for layer in self.layers if layer.weights and layer.name not in backbone
        )

    def with_outputs(self, outputs):
        """Returns a model with these outputs alone, which computes no more than they need.

        It shares layers and weights with this one.

        Args:
            outputs: names, such as `("segmentation",)`.

        Raises:
            ValueError: for a name that this model doesn't have.
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

    def freeze_backbone_batch_normalization(self):
        """Keeps the backbone's batch normalization at its stored statistics and parameters.

        For fine-tuning on batches too small to estimate statistics. Call it
        before `compile`. It is saved with the model.
        """
        for name in self.backbone_layers:
            layer = self.get_layer(name)
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False

    def segment(self, images):
        """Labels every pixel of raw images.

        Args:
            images: one image `(height, width, 3)`, a batch `(batch, height,
                width, 3)`, or a list of images of any sizes. RGB, integers or
                floats in 0 to 255; they are normalized here.

        Returns:
            Class ids as integers: `(height, width)`, `(batch, height, width)`
            or a list of the former. uint8 up to 256 classes, int32 above.

        Raises:
            ValueError: for other shapes or values outside 0 to 255.
        """
        if isinstance(images, (list, tuple)):
            return [self.segment(image) for image in images]
        images = np.asarray(images)
        check_raw(images)
        batch = images[None] if images.ndim == 3 else images
        dtype = "uint8" if self.classes <= 256 else "int32"
        masks = [
            self._class_map(preprocess_input(batch[i : i + SEGMENT_BATCH], self.preprocessing))
            for i in range(0, len(batch), SEGMENT_BATCH)
        ]
        masks = np.concatenate(masks).astype(dtype)
        return masks[0] if images.ndim == 3 else masks

    def _class_map(self, images):
        # Kept outside of Keras's attribute tracking, which would take it for a layer to save.
        if "_class_map_function" not in self.__dict__:
            model = self.with_outputs("segmentation")

            @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
            def class_map(images):
                return tf.argmax(model(images, training=False)["segmentation"], -1, tf.int32)

            self.__dict__["_class_map_function"] = class_map
        return self.__dict__["_class_map_function"](images).numpy()

    def fit(self, x=None, y=None, *args, **kwargs):
        x = self._checked(x, y)
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple):
            self._checked(*validation[:2])
        elif validation is not None:
            kwargs["validation_data"] = self._checked(validation)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        # Set where `fit` evaluates, epoch after epoch, what it has checked.
        if not kwargs.get("_use_cached_eval_dataset"):
            x = self._checked(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def _checked(self, x, y=None):
        """Returns `x`, with a check of its masks if it is a data set; checks `y` if an array.

        The losses check ids, too, but XLA, with which Keras compiles steps on
        a GPU, drops assertions: wrong ids would train the weights to NaN.
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
        targets, weights = per_output(y, y_pred, sample_weight)
        return super().compute_loss(
            x=x, y=targets, y_pred=y_pred, sample_weight=weights, training=training
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        targets, weights = per_output(y, y_pred, sample_weight)
        return super().compute_metrics(x, targets, y_pred, sample_weight=weights)

    def get_config(self):
        return {**super().get_config(), "backbone_layers": list(self.backbone_layers)}
