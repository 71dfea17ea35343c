"""Callbacks for training on masks."""

import os

import keras
import numpy as np
import tensorflow as tf

import keras_encnet
from keras_encnet.utils import compat
from training.figures.overlays import as_rgb, colorize
from training.input.folder import Split
from training.input.image_files import read_image, read_mask

# Number of validation images shown in TensorBoard.
SHOWN = 4


class CheckPixels(keras.callbacks.Callback):
    """Raises `RuntimeError` unless validation counted every labeled pixel exactly once.

    Args:
        metric: the `SegmentationMetrics` of the model.
        pixels: number of pixels of each class in the split, integers `(classes,)`.
    """

    def __init__(self, metric: keras_encnet.SegmentationMetrics, pixels: np.ndarray):
        super().__init__()
        self.metric = metric
        self.pixels = np.asarray(pixels)

    def on_test_end(self, logs=None):
        counted = tf.reduce_sum(self.metric.confusion_matrix.value, axis=1).numpy()
        if (counted != self.pixels).any():
            worst = np.argmax(np.abs(counted - self.pixels))
            raise RuntimeError(
                f"Validation counted {counted[worst]} pixels of class {worst}, but the split has "
                f"{self.pixels[worst]}: it must see each image exactly once."
            )


class FreezeBackbone(keras.callbacks.Callback):
    """Does not train the backbone in the first epochs, statistics of its normalization included.

    Layers are frozen during training steps only: the optimizer has a state for their variables
    from the start, and validation, saved models and checkpoints do not differ from those of other
    training runs. Layers that are never trained stay frozen.

    Args:
        epochs: number of epochs.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs
        self.traced: bool | None = None
        self.trainable: list[tuple[keras.layers.Layer, bool]] = []

    def on_train_begin(self, logs=None):
        self._unfreeze()  # after an interrupted epoch
        with self.model.distribute_strategy.scope():
            self.model.optimizer.build(self.model.trainable_variables)

    def on_epoch_begin(self, epoch, logs=None):
        freezes = epoch < self.epochs
        if freezes:
            layers = map(self.model.get_layer, self.model.backbone_layers)
            nested = [part for layer in layers for part in (layer, *compat.all_layers(layer))]
            self.trainable = [(layer, layer.trainable) for layer in nested]
            for layer in nested:
                layer.trainable = False
        if self.traced not in (None, freezes):
            self.model.make_train_function(force=True)  # the traced one trains other variables
        self.traced = freezes

    def on_test_begin(self, logs=None):
        self._unfreeze()

    def on_epoch_end(self, epoch, logs=None):
        self._unfreeze()

    def _unfreeze(self):
        for layer, trainable in self.trainable:  # a layer comes before those inside of it
            layer.trainable = trainable
        self.trainable = []


class ShowPredictions(keras.callbacks.Callback):
    """Shows validation images in TensorBoard: image, truth and prediction side by side.

    Args:
        log_dir: folder of the TensorBoard logs.
        split: the split, of which the first images are shown.
    """

    def __init__(self, log_dir: str | os.PathLike, split: Split):
        super().__init__()
        self.writer = tf.summary.create_file_writer(str(log_dir))
        count = min(SHOWN, len(split))
        self.images = [
            read_image(path, split.pixels.channels) for path in split.image_paths[:count]
        ]
        self.masks = [read_mask(path, split.label_map) for path in split.mask_paths[:count]]

    def on_epoch_end(self, epoch, logs=None):
        classes = self.model.classes
        with self.writer.as_default(step=epoch):
            predictions = self.model.segment(self.images)
            for i, row in enumerate(zip(self.images, self.masks, predictions, strict=True)):
                image, truth, prediction = row
                colored = [colorize(mask, classes) for mask in (truth, prediction)]
                parts = [as_rgb(image), *colored]
                tf.summary.image(f"image_{i}", np.concatenate(parts, axis=1)[None])
        self.writer.flush()
