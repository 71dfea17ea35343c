"""A `keras.Model` that trains on one device, several, or several machines."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.layers import BatchNormalization
from keras_encnet.optimizers import unwrapped
from keras_encnet.utils import compat


@keras.saving.register_keras_serializable(package="keras_encnet")
class ScalableModel(compat.Model):
    """A functional `keras.Model` that can be trained under `tf.distribute` strategies.

    N replicas learn what one device would learn from the same batches. This takes three changes
    to Keras 3.15; on one device the class behaves as `keras.Model`:

    - The model is built from a batch of zeros, see `keras_encnet.utils.compat.Model`.
    - On several workers, scalar logs get an axis. Keras reduces them over one that they lack
      (keras-team/keras#20585).
    - Gradients are summed over the replicas before they are clipped or checked for overflows,
      see `keras_encnet.utils.compat.sum_gradients_first`.

    `predict` accepts a last batch of any size. Settings of training for which replicas would
    differ from one device raise an error.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any):
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        self._check_batches(x, batch_size)
        return super().fit(x, y, batch_size, *args, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._check_batches(x, batch_size)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def make_train_function(self, force: bool = False) -> Any:
        # Not in `compile`: Keras does not compile loaded models whose class overrides it.
        if self._replicas > 1:
            self._check_steps()
            self._check_normalization()
            compat.sum_gradients_first(self.optimizer, unwrapped(self.optimizer))
        return super().make_train_function(force)

    def train_step(self, data):
        return self._reducible(super().train_step(self._non_empty(data)))

    def test_step(self, data):
        return self._reducible(super().test_step(self._non_empty(data)))

    def predict_step(self, data):
        if self._replicas == 1:
            return super().predict_step(data)
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        size = tf.shape(tf.nest.flatten(x)[0])[0]
        outputs = super().predict_step(tf.nest.map_structure(_at_least_one, x))
        return tf.nest.map_structure(lambda output: output[:size], outputs)

    def _check_steps(self):
        """Raises ValueError for settings that Keras does not support on several replicas."""
        if self.steps_per_execution != 1:
            raise ValueError(
                "Keras cannot run several steps per execution on several replicas. Set "
                f"`steps_per_execution=1`. Received: steps_per_execution={self.steps_per_execution}"
            )
        steps = unwrapped(self.optimizer).gradient_accumulation_steps
        if steps:
            raise ValueError(
                "Keras cannot accumulate gradients on several replicas. Use a smaller batch or "
                f"more replicas. Received: gradient_accumulation_steps={steps}"
            )

    def _check_normalization(self):
        """Raises ValueError for layers that would learn different statistics on each replica."""
        for layer in compat.all_layers(self):
            if (
                isinstance(layer, keras.layers.BatchNormalization)
                and not isinstance(layer, BatchNormalization)
                and layer.trainable
                and not layer.synchronized
            ):
                raise ValueError(
                    f"The layer {layer.name!r} would normalize the batch of each replica "
                    "separately and keep the statistics of one. Use "
                    "`keras_encnet.layers.BatchNormalization` or `synchronized=True`, or freeze "
                    f"the layer. Received: {self._replicas} replicas"
                )

    def _check_batches(self, x, batch_size):
        """Raises ValueError for batches that do not divide evenly, where the sizes are known."""
        if isinstance(x, tf.data.Dataset):
            sizes = {spec.shape[0] for spec in tf.nest.flatten(x.element_spec) if spec.shape.rank}
        elif isinstance(x, (np.ndarray, tf.Tensor)):
            sizes = {min(batch_size or 32, len(x)), len(x) % (batch_size or 32)}
        else:
            return
        for size in sizes - {None}:
            if size % self._replicas:
                raise ValueError(
                    "The size of each batch, including the last, must be a multiple of the "
                    f"{self._replicas} replicas. Change the batch size, and drop or pad the "
                    f"remainder. Received: a batch of {size}"
                )

    def _non_empty(self, data):
        """Returns `data`, with an assertion: empty batches give other shapes, or NaN."""
        if self._replicas == 1:
            return data
        size = tf.shape(tf.nest.flatten(data)[0])[0]
        message = (
            "A batch had too few samples for all replicas. Drop or pad the remainder of the "
            "dataset."
        )
        with tf.control_dependencies([tf.debugging.assert_positive(size, message)]):
            return tf.nest.map_structure(tf.identity, data)

    def _reducible(self, logs):
        if not isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return logs
        return tf.nest.map_structure(lambda value: tf.reshape(value, (1,)), logs)

    @property
    def _replicas(self):
        return self.distribute_strategy.num_replicas_in_sync


def _at_least_one(samples):
    """Adds a sample of zeros if there is none: on a CPU, layers return wrong shapes for none."""
    missing = tf.cast(tf.shape(samples)[0] == 0, tf.int32)
    return tf.pad(samples, [(0, missing)] + [(0, 0)] * (samples.shape.rank - 1))
