"""The dilated convolution, compared with Keras's."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import DilatedConv2D, dilated_conv2d


@pytest.fixture(params=[True, False], ids=["one operation", "as in Keras"])
def has_gradient(request, monkeypatch):
    """Both kinds of TensorFlow builds."""
    monkeypatch.setattr(dilated_conv2d, "_has_gradient", lambda dtype: request.param)


@pytest.mark.usefixtures("has_gradient")
@pytest.mark.parametrize("options", [{}, {"activation": "relu"}, {"use_bias": False}])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("dilation", [1, 2, (2, 3), 4])
def test_equals_keras(rng, dilation, padding, options):
    options = {"dilation_rate": dilation, "padding": padding, **options}
    _check_equal(rng, (2, 11, 9, 5), options)


@pytest.mark.usefixtures("has_gradient")
@pytest.mark.parametrize("dilation", [8, 9, 12, 36])
def test_equals_keras_if_the_dilation_exceeds_the_image(rng, dilation):
    _check_equal(rng, (2, 11, 9, 5), {"dilation_rate": dilation, "padding": "same"})


def test_groups_and_channels_first_are_as_in_keras(rng):
    _check_equal(rng, (2, 8, 8, 4), {"groups": 2, "dilation_rate": 2, "padding": "same"})
    layer = DilatedConv2D(6, 3, data_format="channels_first", dilation_rate=2, padding="same")
    assert layer.compute_output_shape((2, 4, 8, 8)) == (2, 6, 8, 8)


def test_gradient_exists_where_the_size_is_unknown(rng):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, DilatedConv2D(2, 3, dilation_rate=12, padding="same")(images))
    model.compile("sgd", "mse")
    x = rng.standard_normal((2, 9, 7, 3)).astype("float32")
    first = model.train_on_batch(x, np.ones((2, 9, 7, 2)))
    for _ in range(20):
        last = model.train_on_batch(x, np.ones((2, 9, 7, 2)))
    assert last < 0.9 * first


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_precisions_compute_and_train(rng, dtype):
    layer = DilatedConv2D(4, 3, dilation_rate=2, padding="same", dtype=dtype)
    x = tf.constant(rng.standard_normal((1, 8, 8, 3)), layer.compute_dtype)
    twin = _keras_twin(layer, x)
    y, *gradients = _outputs_and_gradients(layer, x)
    assert y.dtype == layer.compute_dtype
    expected = _outputs_and_gradients(twin, x)
    for own, other in zip([y, *gradients], expected, strict=True):
        own, other = (tf.cast(each, "float32") for each in (own, other))
        np.testing.assert_allclose(own, other, atol=0.02 * np.abs(other).max())


def test_gradient_is_computed_by_the_operation_where_tensorflow_can(monkeypatch):
    def without_gradient(**kwargs):
        raise tf.errors.InvalidArgumentError(None, None, "dilation is not supported")

    monkeypatch.setattr(tf.raw_ops, "Conv2DBackpropInput", without_gradient)
    assert not dilated_conv2d._has_gradient.__wrapped__("float32")


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_functions_that_run_eagerly_train_as_well(rng, dtype, monkeypatch):
    found = functools.cache(dilated_conv2d._has_gradient.__wrapped__)
    monkeypatch.setattr(dilated_conv2d, "_has_gradient", found)
    layer = DilatedConv2D(4, 3, dilation_rate=2, padding="same", dtype=dtype)
    x = tf.constant(rng.standard_normal((1, 8, 8, 3)), layer.compute_dtype)
    layer(x)
    tf.config.run_functions_eagerly(True)
    try:
        found.cache_clear()
        _, *gradients = _outputs_and_gradients(layer, x)
    finally:
        tf.config.run_functions_eagerly(False)
    assert all(np.abs(tf.cast(gradient, "float32")).max() > 0 for gradient in gradients)


def test_round_trip_through_a_file(tmp_path, rng):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, DilatedConv2D(2, 3, dilation_rate=4, padding="same")(images))
    model.save(tmp_path / "model.keras")
    x = rng.standard_normal((1, 9, 7, 3)).astype("float32")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))


def _check_equal(rng, shape, options):
    """Compares output and gradients with those of Keras's layer, in a graph of unknown sizes."""
    layer = DilatedConv2D(6, 3, bias_initializer="normal", **options)
    x = tf.constant(rng.standard_normal(shape), "float32")
    twin = _keras_twin(layer, x)
    results = [_outputs_and_gradients(each, x) for each in (layer, twin)]
    for own, expected in zip(*results, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-4)


def _keras_twin(layer, x):
    layer(x)
    twin = keras.layers.Conv2D.from_config(layer.get_config())
    twin(x)
    twin.set_weights(layer.get_weights())
    return twin


def _outputs_and_gradients(layer, x):
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, x.shape[-1]), x.dtype)])
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.square(y))
        return [y, *tape.gradient(loss, [x, *layer.trainable_variables])]

    return run(x)
