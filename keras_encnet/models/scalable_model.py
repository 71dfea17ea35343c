"""The keras.Model that fits on one device, several, or several machines."""

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.layers import BatchNormalization


@keras.saving.register_keras_serializable(package="keras_encnet")
class ScalableModel(keras.Model):
    """A `keras.Model` that `tf.distribute` strategies can `fit`.

    It learns what one device would have learned from the same batches. Keras
    3.15 breaks under strategies in three places, which this class mends:

    - It builds the model from a batch averaged over the replicas, which makes
      floats of integer masks and fails on several machines.
    - On several machines it reduces scalar logs over an axis that they don't
      have (keras-team/keras#20585).
    - It clips the gradients of each replica, and looks in each for overflows
      of float16, before it has summed them.

    What it can't mend it refuses. On one device it is `keras.Model`.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        self._check_batches(x, batch_size)
        if self._replicas > 1 and self.compiled:
            self._check_normalization()
            # Not in `compile`: Keras doesn't compile a loaded model if that is overridden.
            self._prepare_optimizer()
        return super().fit(x, y, batch_size, *args, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        self._check_batches(x, batch_size)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def _prepare_optimizer(self):
        if self.steps_per_execution != 1:
            raise ValueError(
                "Keras can't run several steps per execution on several replicas: leave it at 1. "
                f"Received: steps_per_execution={self.steps_per_execution}"
            )
        inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        if inner.gradient_accumulation_steps:
            raise ValueError(
                "Keras can't accumulate gradients on several replicas: take a smaller batch, or "
                "more replicas. Received: "
                f"gradient_accumulation_steps={inner.gradient_accumulation_steps}"
            )
        _sum_gradients_first(self.optimizer, inner)

    def _check_normalization(self):
        """Refuses layers that would learn other statistics on each replica."""
        for layer in self._flatten_layers():
            if (
                isinstance(layer, keras.layers.BatchNormalization)
                and not isinstance(layer, BatchNormalization)
                and layer.trainable
                and not layer.synchronized
            ):
                raise ValueError(
                    f"The layer {layer.name!r} would normalize each replica's share of the batch "
                    "by itself, and keep the statistics of one: use "
                    "`keras_encnet.layers.BatchNormalization` or `synchronized=True`, or freeze "
                    f"it. Received: {self._replicas} replicas"
                )

    def _check_batches(self, x, batch_size):
        """Refuses batches of which a replica would get less than another, where it can tell."""
        if isinstance(x, tf.data.Dataset):
            sizes = {spec.shape[0] for spec in tf.nest.flatten(x.element_spec) if spec.shape.rank}
        elif isinstance(x, (np.ndarray, tf.Tensor)):
            sizes = {min(batch_size or 32, len(x)), len(x) % (batch_size or 32)}
        else:
            return
        for size in sizes - {None}:
            if size % self._replicas:
                raise ValueError(
                    f"Each batch, the last one too, must be a multiple of {self._replicas}, the "
                    "number of replicas: change the batch size, and drop the remainder or fill it "
                    f"up. Received: a batch of {size}"
                )

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None and self._distribute_strategy is not None:
            spec = iterator._distributed_dataset.element_spec
            data_batch = tf.nest.map_structure(_zeros_like_spec, spec)
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def train_step(self, data):
        return self._reducible(super().train_step(self._full(data)))

    def test_step(self, data):
        return self._reducible(super().test_step(self._full(data)))

    def _full(self, data):
        """Returns `data`; fails if it is empty, on which operations return other shapes or NaN."""
        if self._replicas == 1:
            return data
        size = tf.shape(tf.nest.flatten(data)[0])[0]
        message = (
            "A batch had too few samples for all replicas: drop the remainder of the data set, or "
            "fill it up."
        )
        with tf.control_dependencies([tf.debugging.assert_positive(size, message)]):
            return tf.nest.map_structure(tf.identity, data)

    def _reducible(self, logs):
        if not self._on_several_workers:
            return logs
        return tf.nest.map_structure(lambda value: tf.reshape(value, (1,)), logs)

    @property
    def _replicas(self):
        return self.distribute_strategy.num_replicas_in_sync

    @property
    def _on_several_workers(self):
        return isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _sum_gradients_first(optimizer, inner):
    """Makes an optimizer sum the replicas' gradients before it does anything else with them.

    Args:
        optimizer: what a model was compiled with.
        inner: the same, or the optimizer in it if it scales the loss.
    """
    if "apply" in vars(optimizer):
        return  # by an earlier `fit`
    apply = optimizer.apply

    def apply_sum(grads, trainable_variables=None):
        there = [grad for grad in grads if grad is not None]
        sums = iter(tf.distribute.get_replica_context().all_reduce("sum", there))
        apply([None if grad is None else next(sums) for grad in grads], trainable_variables)

    optimizer.apply = apply_sum
    inner._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars


def _zeros_like_spec(spec):
    # Per-replica specs hold one spec a replica, all alike but for the batch.
    spec = getattr(spec, "_value_specs", (spec,))[0]
    return tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)
