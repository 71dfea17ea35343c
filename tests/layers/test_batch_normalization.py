"""`BatchNormalization` matches the layer of Keras; for replicas see `test_scalable_model.py`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import BatchNormalization

TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "mixed_float16": 2e-2, "mixed_bfloat16": 1e-1}
HALF = {"float16": 1e-2, "bfloat16": 1e-1}


def twins(shape, **arguments):
    """This layer and that of Keras, with the same weights."""
    layers = []
    for cls in (BatchNormalization, keras.layers.BatchNormalization):
        layer = cls(momentum=0.9, epsilon=1e-5, **arguments)
        layer.build(shape)
        layers.append(layer)
    rng = np.random.default_rng(1)
    values = [rng.uniform(0.5, 1.5, weight.shape) for weight in layers[0].weights]
    for layer in layers:
        layer.set_weights(values)
    return layers


def results(layer, x, training, in_graph=True):
    """Output, gradients, and weights after the call."""

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(tf.cast(y, "float32") ** 3)
        return y, tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])

    y, gradients = (tf.function(run) if in_graph else run)(x)
    return [y, *(g for g in gradients if g is not None), *layer.weights]


def assert_equal(actual, expected, tolerance):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        one, other = np.asarray(one, "float64"), np.asarray(other, "float64")
        scale = max(np.abs(other).max(), 1)
        np.testing.assert_allclose(one, other, atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize("options", [{}, {"scale": False, "center": False}])
@pytest.mark.parametrize("dtype", HALF)
def test_statistics_of_half_precision_are_updated(dtype, options, rng):
    one, other = twins((2, 5, 6, 7), dtype=dtype, **options)
    x = tf.constant(rng.normal(1.0, 2.0, (2, 5, 6, 7)), dtype)
    for layer in (one, other):
        layer(x, training=True)
    assert one.moving_mean.dtype == dtype
    assert_equal(one.weights, other.weights, HALF[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis"), [((2, 5, 6, 7), -1), ((2, 5, 6, 7), 3), ((2, 5, 7), 1), ((4, 7), -1)]
)
def test_matches_keras(shape, axis, training, dtype, rng):
    one, other = twins(shape, axis=axis, dtype=dtype)
    x = tf.constant(rng.normal(1.0, 2.0, shape), one.compute_dtype)
    assert one(x).dtype == other(x).dtype
    assert_equal(results(one, x, training), results(other, x, training), TOLERANCE[dtype])


@pytest.mark.parametrize(
    "arguments", [{"scale": False}, {"center": False}, {"trainable": False}], ids=str
)
def test_options_match_keras(arguments, rng):
    x = tf.constant(rng.normal(1.0, 2.0, (2, 5, 6, 7)), "float32")
    one, other = twins(x.shape, **arguments)
    assert_equal(results(one, x, True), results(other, x, True), 1e-5)


def test_eager_call_matches_keras(rng):
    x = tf.constant(rng.normal(size=(2, 5, 6, 7)), "float32")
    one, other = twins(x.shape)
    assert_equal(results(one, x, True, in_graph=False), results(other, x, True), 1e-5)


def test_small_epsilon_is_kept():
    # `tf.nn.fused_batch_norm` raises epsilons to 1.001e-5, which changes variances of that size.
    x = tf.constant(np.random.default_rng(0).normal(0, 1e-3, (4, 8, 8, 3)), "float32")
    layers = [cls(epsilon=1e-7) for cls in (BatchNormalization, keras.layers.BatchNormalization)]
    one, other = (layer(x, training=True) for layer in layers)
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_mask_matches_keras(rng):
    x = tf.constant(rng.normal(size=(2, 5, 6, 7)), "float32")
    mask = tf.constant(rng.integers(0, 2, (2, 5, 6)), "bool")
    one, other = twins(x.shape)
    np.testing.assert_allclose(
        one(x, training=True, mask=mask), other(x, training=True, mask=mask), rtol=1e-5, atol=1e-5
    )


def test_unknown_sizes_are_supported():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, BatchNormalization()(images))
    assert model.output.shape == (None, None, None, 3)
    for size in (4, 9):
        assert model.predict(np.ones((1, size, size, 3)), verbose=0).shape == (1, size, size, 3)


def test_saved_weights_load_into_the_layer_of_keras(tmp_path, rng):
    def build(layer):
        images = keras.Input((8, 8, 3))
        return keras.Model(images, layer(name="norm")(images))

    model = build(BatchNormalization)
    x = rng.normal(size=(4, 8, 8, 3)).astype("float32")
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("norm")) is BatchNormalization
    np.testing.assert_array_equal(loaded(x), model(x))
    model.save_weights(tmp_path / "model.weights.h5")
    of_keras = build(keras.layers.BatchNormalization)
    of_keras.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(of_keras(x), model(x), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("in_graph", [False, True])
def test_single_value_per_channel_is_normalized_by_moving_statistics(rng, in_graph, dtype):
    layer, _ = twins((None, 1, 1, 6), dtype=dtype)
    before = [np.array(weight) for weight in layer.weights]
    x = tf.constant(rng.normal(size=(1, 1, 1, 6)), "float32")
    y, gradient, *_ = results(layer, x, training=True, in_graph=in_graph)
    np.testing.assert_allclose(y, layer(x, training=False), rtol=TOLERANCE[dtype])
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-6)


def test_two_pooled_images_are_normalized_as_by_keras(rng):
    x = tf.constant(rng.normal(size=(2, 1, 1, 6)), "float32")
    one, other = twins((None, 1, 1, 6))
    assert_equal(results(one, x, True), results(other, x, True), 1e-5)
