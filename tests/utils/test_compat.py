"""Keras and TensorFlow still lack what `utils/compat.py` works around.

When a test fails, upstream offers a public way: remove the entry of `compat` that the test is for.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.utils import compat


def public_values(thing):
    """The values of the public attributes of an object."""
    for name in dir(thing):
        if not name.startswith("_"):
            try:
                yield getattr(thing, name)
            except Exception:  # some properties raise before `fit`
                continue


def holds(value, wanted):
    """Whether `value` is `wanted` or a collection of such objects, nested at most once."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return any(item is wanted or (type(item) is list and wanted in item) for item in value)
    return value is wanted


@pytest.fixture
def model():
    inputs = keras.Input((3,))
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="inner")])
    shared = keras.layers.Dense(3, name="shared")
    return keras.Model(inputs, shared(shared(inner(inputs))))


def test_functional_class_is_not_exported(model):
    assert compat.is_functional(model)
    assert not compat.is_functional(keras.Sequential([keras.layers.Dense(3)]))
    functional = type(model)
    assert functional is not keras.Model
    exported = [*vars(keras).values(), *vars(keras.models).values()]
    assert not any(value is functional for value in exported)


def test_nodes_of_a_model_are_not_public(model):
    nodes = compat.graph_nodes(model)
    assert [node.operation.name for node in nodes].count("shared") == 2
    assert not any(holds(value, nodes[0]) for value in public_values(model))


def test_clone_records_calls_of_kept_layers(model):
    layer = model.get_layer("shared")
    before = len(layer._inbound_nodes)
    halved = compat.run_graph(
        model, np.ones((2, 3), "float32"), lambda layer: lambda x, **_: layer(x) / 2
    )
    assert halved.shape == (2, 3)
    assert len(layer._inbound_nodes) == before
    keras.models.clone_model(model, clone_function=lambda layer: layer)
    assert len(layer._inbound_nodes) > before


def test_clone_model_passes_only_the_graph():
    class Named(keras.Model):
        def __init__(self, inputs, outputs, name=None, *, title="", **kwargs):
            super().__init__(inputs, outputs, name=name, **kwargs)
            self.title = title

        def get_config(self):
            return {**super().get_config(), "title": self.title}

    inputs = keras.Input((3,))
    model = Named(inputs, keras.layers.Dense(3)(inputs), title="original")
    clone = keras.models.clone_model(model)
    assert isinstance(clone, Named)
    assert clone.title == ""


def test_producer_of_a_tensor_is_not_public(model):
    producer = compat.producer_of(model.output)
    assert producer.name == "shared"
    assert not any(holds(value, producer) for value in public_values(model.output))


def test_call_inserts_an_operation(model):
    inputs = keras.Input((3,))
    images = keras.layers.Rescaling(2.0)(inputs)
    extra = [
        {node.operation.name for node in compat.graph_nodes(keras.Model(inputs, outputs))}
        - {layer.name for layer in model.layers}
        for outputs in (compat.run_graph(model, images), model.call(images))
    ]
    assert [len(names) for names in extra] == [1, 2]


def test_nested_layers_are_not_public(model):
    (inner,) = (layer for layer in compat.all_layers(model) if layer.name == "inner")
    assert not any(holds(value, inner) for value in public_values(model))


def test_synchronized_variance_of_keras_cancels():
    x = tf.constant(np.random.default_rng(0).normal(1e4, 1.0, (8, 16, 16, 2)), "float32")
    layer = keras.layers.BatchNormalization(momentum=0.0, synchronized=True)
    layer(x, training=True)
    expected = np.var(np.float64(x), axis=(0, 1, 2))
    assert np.abs(layer.moving_variance - expected).max() > 0.5


def test_moments_are_an_internal_hook_of_keras():
    class Fixed(compat.BatchNormalization):
        def batch_moments(self, inputs, mask):
            return tf.constant([2.0]), tf.constant([4.0])

    y = Fixed(epsilon=0.0)(np.array([[4.0], [6.0]], "float32"), training=True)
    np.testing.assert_allclose(y, [[1.0], [2.0]])


def test_optimizer_state_is_not_public():
    class Plain(compat.Optimizer):
        def update_step(self, gradient, variable, learning_rate):
            pass

    variables = [keras.Variable(np.ones(2)), keras.Variable(np.ones(3))]
    optimizer = Plain(learning_rate=0.1, use_ema=True)
    optimizer.build(variables)
    assert [optimizer.index_of(variable) for variable in variables] == [0, 1]
    assert [average.shape for average in optimizer.averages] == [(2,), (3,)]
    plain = keras.optimizers.SGD(use_ema=True)
    plain.build(variables)
    averages = plain._model_variables_moving_average
    others = [v for v in public_values(plain) if not holds(v, plain.iterations)]
    assert not any(holds(value, averages[0]) for value in others)


def test_xla_still_drops_assertions_of_a_step():
    class Asserting(compat.Model):
        in_step = True

        def train_step(self, data):
            tf.debugging.Assert(not self.in_step or tf.reduce_all(data[1] > 0), ["not positive"])
            return super().train_step(data)

        def batch_checks(self, x, y):
            return (
                [] if self.in_step else [tf.debugging.Assert(tf.reduce_all(y > 0), ["Received: 0"])]
            )

    inputs = keras.Input((3,))
    model = Asserting(inputs, keras.layers.Dense(1)(inputs))
    batch = np.ones((2, 3)), np.zeros((2, 1))
    model.compile("sgd", "mse", jit_compile=True)
    model.fit(*batch, verbose=0)
    model.in_step = False
    model.compile("sgd", "mse", jit_compile=True)
    with pytest.raises(ValueError, match="Received: 0"):
        model.fit(*batch, verbose=0)
    model.predict(*batch[:1], verbose=0)


def test_fit_marks_its_validation_privately():
    calls = []

    class Recording(keras.Model):
        def evaluate(self, *args, **options):
            calls.append(options)
            return super().evaluate(*args, **options)

    inputs = keras.Input((3,))
    model = Recording(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    x, y = np.ones((2, 3)), np.ones((2, 1))
    model.fit(x, y, validation_data=(x, y), verbose=0)
    model.evaluate(x, y, verbose=0)
    assert [compat.is_validation_of_fit(options) for options in calls] == [True, False]
    public = {name for name in calls[0] if not name.startswith("_")}
    assert public <= {"x", "y", "sample_weight", "batch_size", "steps", "callbacks", "return_dict"}


def test_format_of_a_file_is_not_public(tmp_path):
    calls = []

    class Recording(keras.Model):
        def save(self, *args, **options):
            calls.append("save")

        def get_config(self):
            calls.append(compat.is_saving_h5())
            return super().get_config()

    inputs = keras.Input((3,))
    model = Recording(inputs, keras.layers.Dense(1)(inputs))
    keras.saving.save_model(model, tmp_path / "model.h5")
    assert calls == [True]
    keras.saving.save_model(model, tmp_path / "model.keras")
    assert not any(calls[1:])


def test_freezing_is_not_public():
    variable = tf.Variable(2.0)
    double = tf.function(lambda x: variable * x, input_signature=[tf.TensorSpec(())])
    frozen = compat.frozen(double.get_concrete_function())
    assert not frozen.variables
    np.testing.assert_array_equal(frozen(tf.constant(3.0)), [6.0])
    assert not [name for name in dir(tf.graph_util) if "constants" in name]
