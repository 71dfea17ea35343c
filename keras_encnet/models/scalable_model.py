"""The keras.Model that fits on one device, several, or several machines."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_encnet")
class ScalableModel(keras.Model):
    """A `keras.Model` that `tf.distribute` strategies can `fit`.

    Keras 3.15 breaks there in two places, which this class mends. It builds
    the model from a batch averaged over the replicas, which makes floats of
    integer masks and fails on several machines; and there it reduces scalar
    logs over an axis that they don't have (keras-team/keras#20585). Everywhere
    else it is `keras.Model` unchanged.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None and self._distribute_strategy is not None:
            spec = iterator._distributed_dataset.element_spec
            data_batch = tf.nest.map_structure(_zeros_like_spec, spec)
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)

    def train_step(self, data):
        return self._reducible(super().train_step(data))

    def test_step(self, data):
        return self._reducible(super().test_step(data))

    def _reducible(self, logs):
        if not self._on_several_workers:
            return logs
        return tf.nest.map_structure(lambda value: tf.reshape(value, (1,)), logs)

    @property
    def _on_several_workers(self):
        return isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _zeros_like_spec(spec):
    # Per-replica specs hold one spec a replica, all alike but for the batch.
    spec = getattr(spec, "_value_specs", (spec,))[0]
    return tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)
