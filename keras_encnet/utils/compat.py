"""The only file of the repository that touches private Keras or TensorFlow API.

Each entry states why the public API does not suffice. `tests/utils/test_compat.py` holds one test
per entry that fails as soon as Keras or TensorFlow offers a public way; then the entry can go.
"""

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

# Functional models


def is_functional(model: object) -> bool:
    """Returns whether `model` is a functional Keras model.

    Keras does not export the class. Test: `test_functional_class_is_not_exported`.
    """
    return isinstance(model, keras.Model) and hasattr(model, "_nodes_by_depth")


def graph_nodes(model: keras.Model) -> list:
    """Returns the nodes of a functional model, one per layer call, in the order of execution.

    Inputs are left out.
    A layer that is called twice has two nodes, and the public `layers` lists it once.
    Test: `test_nodes_of_a_model_are_not_public`.
    """
    by_depth = model._nodes_by_depth
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [node for node in nodes if not node.is_input]


def producer_of(tensor: keras.KerasTensor) -> keras.layers.Layer:
    """Returns the layer whose output the symbolic tensor is.

    Test: `test_producer_of_a_tensor_is_not_public`.
    """
    return tensor._keras_history.operation


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers of a model or layer, those inside of nested models and wrappers included.

    The public `layers` lists only the outermost. Test: `test_nested_layers_are_not_public`.
    """
    return model._flatten_layers(include_self=False)


def run_graph(
    model: keras.Model,
    inputs: tf.Tensor | keras.KerasTensor,
    function_of: Callable[[keras.layers.Layer], Callable] = lambda layer: layer,
) -> Any:
    """Runs the layers of a functional model, or functions in place of some of them.

    `keras.models.clone_model` replaces layers, too, but the layers that it keeps record a call
    each time. Calling the model on a symbolic tensor makes it one layer of the new graph, and its
    public `call` inserts an operation with which a model cannot be rebuilt.
    Tests: `test_clone_records_calls_of_kept_layers`,
    `test_call_inserts_an_operation`.

    Args:
        model: a functional model.
        inputs: its input, which may be symbolic.
        function_of: returns the function that is called in place of a layer, or the layer.
    """
    return model._run_through_graph(inputs, operation_fn=function_of)


# Layers


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer whose batch statistics can be overridden.

    Keras has no public hook for them, and its own synchronized statistics are imprecise where
    the mean is large. Test: `test_synchronized_variance_of_keras_cancels`.
    """

    def batch_moments(
        self, inputs: tf.Tensor, mask: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns mean and variance of a training batch."""
        return super()._moments(inputs, mask)

    def _moments(self, inputs, mask):
        return self.batch_moments(inputs, mask)


# Optimizers


class Optimizer(keras.optimizers.Optimizer):
    """Keras's base class with the state that subclasses need under public names.

    Test: `test_optimizer_state_is_not_public`.
    """

    def index_of(self, variable: keras.Variable | tf.Variable) -> int:
        """Returns the position of `variable` among those that the optimizer was built with."""
        return self._get_variable_index(variable)

    @property
    def averages(self) -> list[keras.Variable]:
        """The moving averages of the trainable variables; only with `use_ema=True`."""
        return self._model_variables_moving_average


def sum_gradients_first(
    optimizer: keras.optimizers.Optimizer, inner: keras.optimizers.Optimizer
) -> None:
    """Makes an optimizer sum the gradients of all replicas before it uses them.

    Keras's optimizers clip the gradients of each replica, and `LossScaleOptimizer` looks for
    overflows in those of each, before they are summed. There is no public hook, and users bring
    optimizers of any class, so the methods are replaced on the instance.
    Test: `test_keras_clips_before_it_sums` in `tests/models/test_scalable_model.py`.

    Args:
        optimizer: Optimizer that a model was compiled with.
        inner: The same, or the optimizer inside of it if it scales the loss.
    """
    if "apply" in vars(optimizer):
        return  # already replaced
    apply = optimizer.apply

    def apply_sums(grads, trainable_variables=None):
        apply(_sums_over_replicas(grads), trainable_variables)

    optimizer.apply = apply_sums
    inner._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars


def _sums_over_replicas(grads):
    present = [grad for grad in grads if grad is not None]
    sums = iter(tf.distribute.get_replica_context().all_reduce("sum", present))
    return [None if grad is None else next(sums) for grad in grads]


# Training


class Model(keras.Model):
    """`keras.Model` with attributes that clones keep, which strategies can build, and with checks.

    `keras.models.clone_model` passes nothing but the graph to the constructor of a subclass, so
    the other arguments travel with the outputs of the graph, see `cloned_config`.
    Test: `test_clone_model_passes_only_the_graph`.

    Before the first step Keras runs the model symbolically, on a batch that it averages over the
    replicas: integer masks become floats, and several workers fail. Here the batch is zeros.
    Test: `test_keras_model_still_fails_on_two_workers` in
    `tests/models/test_scalable_model.py`.

    XLA drops the assertions of the steps that it compiles, and Keras has no public hook between
    taking a batch from its iterator and the compiled step.
    Test: `test_xla_still_drops_assertions_of_a_step`.
    """

    def own_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor apart from the graph and the name."""
        return {}

    def _run_through_graph(self, inputs, *args, **kwargs):
        outputs = super()._run_through_graph(inputs, *args, **kwargs)
        for tensor in tf.nest.flatten(outputs):
            if isinstance(tensor, keras.KerasTensor):
                tensor._own_config = self.own_config()
        return outputs

    def batch_checks(self, x: Any, y: Any) -> list[tf.Operation]:
        """Returns assertions on a batch of training or evaluation, which run before its step.

        Args:
            x: The (first) input of the model for one replica: a tensor, or an array if eager.
            y: Its targets, None if there are none.
        """
        return []

    def _make_function(self, step_function):
        # `_autoconvert_optionals` is also called for `predict`, whose targets are not used.
        self._checks_batches = True
        try:
            function = super()._make_function(step_function)
        finally:
            self._checks_batches = False

        def plain_function(iterator):
            with plain_assertions():
                return function(iterator)

        return plain_function

    def _autoconvert_optionals(self, step_func):
        if getattr(self, "_checks_batches", False):
            step_func = functools.partial(self._checked_step, step_func)
        return super()._autoconvert_optionals(step_func)

    def _checked_step(self, step, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        local_results = self.distribute_strategy.experimental_local_results
        inputs, targets = map(local_results, (tf.nest.flatten(x)[0], y))
        checks = itertools.chain.from_iterable(map(self.batch_checks, inputs, targets))
        with tf.control_dependencies(list(checks)):
            return step(data)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None and self._distribute_strategy is not None:
            spec = iterator._distributed_dataset.element_spec
            data_batch, iterator = tf.nest.map_structure(_zeros_like, spec), None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)


@contextlib.contextmanager
def plain_assertions() -> Iterator[None]:
    """Turns failed assertions of a graph into ValueErrors with their message only."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        # The message of an assertion is in brackets; TensorFlow adds the stack of the graph.
        message = re.search(r"assertion failed: \[(.*Received: .*)\]", error.message)
        if message is None:
            raise
        raise ValueError(message[1]) from None


def cloned_config(outputs: Any) -> dict[str, Any]:
    """Returns the `own_config` of the model whose clone computes these outputs, if it is one."""
    tensors = tf.nest.flatten(outputs)
    return getattr(tensors[0], "_own_config", {})


def forget_clone(outputs: Any) -> None:
    """Makes `cloned_config` of these outputs empty, as soon as the clone has its arguments."""
    for tensor in tf.nest.flatten(outputs):
        tensor._own_config = {}


def _zeros_like(spec):
    # A per-replica spec holds one spec per replica, which differ only in the batch size.
    spec = getattr(spec, "_value_specs", (spec,))[0]
    if spec.shape.rank is None:
        raise ValueError(
            "On several replicas the elements of a dataset must have a known rank. Set it with "
            f"`tf.ensure_shape`, in a `map`. Received: {spec}"
        )
    return tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype)


def is_validation_of_fit(evaluate_options: dict) -> bool:
    """Returns whether `evaluate` with these keyword arguments was called by `fit`.

    `fit` evaluates the same validation data after each epoch, and the first call is not marked in
    a public way. Test: `test_fit_marks_its_validation_privately`.
    """
    return bool(evaluate_options.get("_use_cached_eval_dataset"))


def is_saving_h5() -> bool:
    """Returns whether Keras is writing a model to an `.h5` file.

    The only method of a model that `keras.saving.save_model` calls is `get_config`, without the
    path. Test: `test_format_of_a_file_is_not_public`.
    """
    return bool(global_state.get_global_attribute("use_legacy_config"))


# Graphs


def frozen(
    function: tf.types.experimental.ConcreteFunction,
) -> tf.types.experimental.ConcreteFunction:
    """Returns a concrete function whose variables have become constants.

    TensorFlow 2 exports no function for it. Test: `test_freezing_is_not_public`.
    """
    return convert_variables_to_constants_v2(function)
