"""Encoding computes the equations of the paper, without the tensor of all residuals."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import Encoding
from tests.layers.encodings import encode, encoding_of, parameters, relative_error

GOLDEN = Path(__file__).parents[1] / "golden" / "encoding_layer.npz"


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_codes_assignment_and_gradients_equal_the_reference(dtype, tolerance):
    golden = np.load(GOLDEN)
    layer = encoding_of(golden["codewords"], golden["scale"], dtype=dtype)
    x = tf.constant(golden["x"], dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        encoded = layer(x)
        loss = tf.reduce_sum(encoded * tf.constant(golden["upstream"], dtype))
    gradients = tape.gradient(loss, [x, layer.codewords.value, layer.scale.value])
    assert relative_error(encoded, golden["encoded"]) < tolerance
    assert relative_error(layer.assignment(x), golden["assignment"]) < tolerance
    for name, gradient in zip(("grad_x", "grad_codewords", "grad_scale"), gradients, strict=True):
        assert relative_error(gradient, golden[name]) < tolerance, name


def test_codes_equal_those_computed_by_hand():
    # Two pixels, two codewords; squared distances are 1 and 1, 4 and 2.
    layer = encoding_of([[0, 0], [1, 1]], [-1, -0.5], ndim=3)
    x = np.array([[[1, 0], [0, 2]]], "float32")
    np.testing.assert_allclose(
        layer(x)[0], [[0.37754067, 0.09485175], [-0.95257413, 0.33011480]], atol=1e-6
    )


def test_4d_and_3d_inputs_agree(rng):
    codewords, scale = parameters(rng, 5, 7)
    grid = rng.normal(size=(2, 3, 4, 7)).astype("float32")
    np.testing.assert_array_equal(
        encoding_of(codewords, scale)(grid),
        encoding_of(codewords, scale, ndim=3)(grid.reshape(2, 12, 7)),
    )


def test_mean_aggregation_averages_over_pixels_and_channels(rng):
    codewords, scale = parameters(rng, 4, 6)
    layer = encoding_of(codewords, scale, aggregation="mean")
    x = rng.normal(size=(2, 5, 3, 6)).astype("float32")
    codes, assignment = encode(x, codewords, scale / 6)
    assert relative_error(layer(x), codes / 15) < 1e-5
    assert relative_error(layer.assignment(x), assignment) < 1e-5


@pytest.mark.parametrize(("aggregation", "live"), [("sum", 1), ("mean", 32)])
def test_only_mean_distances_use_all_codewords_on_wide_features(aggregation, live):
    # Features as after batch normalization and ReLU, at the width of the paper's head.
    keras.utils.set_random_seed(0)
    x = np.maximum(np.random.default_rng(0).normal(size=(2, 8, 8, 512)), 0).astype("float32")
    layer = Encoding(32, aggregation=aggregation)
    layer(x)
    shares = np.mean(layer.assignment(x), (0, 1))
    assert (shares > 0.1 / 32).sum() == pytest.approx(live, abs=2)


@pytest.mark.parametrize("aggregation", ["sum", "mean"])
@pytest.mark.parametrize("shape", [(2, 0, 5, 4), (2, 0, 4), (0, 3, 3, 4)])
def test_codes_of_no_pixels_are_zeros(aggregation, shape):
    code = Encoding(3, aggregation=aggregation)(np.ones(shape, "float32"))
    np.testing.assert_array_equal(code, np.zeros((shape[0], 3, 4)))


def test_functional_model_accepts_any_batch_and_size(rng):
    inputs = keras.Input((None, None, 6))
    layer = encoding_of(*parameters(rng, 4, 6))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 4, 6)
    for shape in ((1, 1, 1, 6), (3, 5, 2, 6)):
        x = rng.normal(size=shape).astype("float32")
        expected, _ = encode(x, layer.codewords.numpy(), layer.scale.numpy())
        assert relative_error(model(x), expected) < 1e-5


@pytest.mark.parametrize("shape", [(3, 5, 2, 6), (3, 10, 6)])
def test_traced_function_accepts_any_batch_and_size(rng, shape):
    layer = encoding_of(*parameters(rng, 4, 6), ndim=len(shape))
    unknown = tf.TensorSpec((None,) * (len(shape) - 1) + (6,), tf.float32)
    traced = tf.function(layer, input_signature=[unknown])
    x = rng.normal(size=shape).astype("float32")
    expected, _ = encode(x, layer.codewords.numpy(), layer.scale.numpy())
    assert relative_error(traced(x), expected) < 1e-5


def tensor_sizes(encode, x, *variables):
    """Returns the number of elements of each tensor in a forward and backward pass."""

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(encode(x)))
        return tape.gradient(loss, [x, *variables])

    graph = step.get_concrete_function(tf.TensorSpec(x, tf.float32)).graph
    graphs = [graph, *(function.graph for function in graph._functions.values())]
    shapes = [out.shape for g in graphs for op in g.get_operations() for out in op.outputs]
    # Tensors of unknown size would not be counted.
    assert all(shape.is_fully_defined() for shape in shapes)
    return [shape.num_elements() for shape in shapes]


def test_tensor_of_all_residuals_is_never_built(rng):
    # Prime sizes, so that no other tensor has the same number of elements.
    batch, height, width, num_codewords, channels = 3, 7, 11, 5, 13
    residuals = batch * height * width * num_codewords * channels
    layer = encoding_of(*parameters(rng, num_codewords, channels))

    def by_residuals(x):
        pixels = tf.reshape(x, (batch, -1, 1, channels)) - layer.codewords
        assignment = tf.nn.softmax(layer.scale * tf.reduce_sum(pixels**2, -1))
        return tf.reduce_sum(assignment[..., None] * pixels, 1)

    variables = [layer.codewords.value, layer.scale.value]
    shape = (batch, height, width, channels)
    assert residuals in tensor_sizes(by_residuals, shape, *variables)
    assert max(tensor_sizes(layer, shape, *variables)) < residuals


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_codes_outside_the_range_of_float16_are_computed_in_float32(policy):
    # 64 * 64 pixels of 100 sum to 409,600; the maximum of float16 is 65,504.
    codewords, scale = np.array([[0.5] * 8, [-0.5] * 8]), np.array([-0.9, -0.1])
    layer = encoding_of(codewords, scale, dtype=policy)
    x = np.full((2, 64, 64, 8), 100, "float16")
    x[:, ::2, :, ::3] = 0
    encoded = layer(tf.cast(x, layer.compute_dtype))
    assert encoded.dtype == "float32"
    assert relative_error(encoded, encode(x, codewords, scale)[0]) < 1e-5


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_float32_features_are_not_rounded_under_mixed_precision(rng, policy):
    codewords, scale = parameters(rng, 4, 6)
    layer = encoding_of(codewords, scale, dtype=policy)
    x = rng.normal(size=(2, 3, 3, 6)).astype("float32")
    assert relative_error(layer(x), encode(x, codewords, scale)[0]) < 1e-5


@pytest.mark.parametrize("sizes", [(2, 3), (1,)])
def test_float16_features_are_encoded_in_float32_under_the_default_policy(rng, sizes):
    codewords, scale = parameters(rng, 4, 6)
    layer = encoding_of(codewords, scale, ndim=2 + len(sizes))
    x = (300 * rng.normal(size=(2, *sizes, 6))).astype("float16")
    assert layer(x).dtype == "float32"
    assert relative_error(layer(x), encode(x, codewords, scale)[0]) < 1e-5


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16", "mixed_bfloat16"])
def test_symbolic_dtype_is_the_actual_dtype(policy):
    layer = Encoding(2, dtype=policy)
    x = keras.ops.ones((1, 2, 2, 3), layer.compute_dtype)
    symbolic = layer(keras.KerasTensor((None, None, None, 3), layer.compute_dtype))
    assert symbolic.dtype == keras.backend.standardize_dtype(layer(x).dtype)


def test_gradients_are_finite_if_a_pixel_equals_a_codeword(rng):
    codewords, scale = parameters(rng, 4, 6)
    layer = encoding_of(codewords, scale, ndim=3)
    x = tf.constant(codewords[None], "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x) ** 2)
    for gradient in tape.gradient(loss, [x, layer.codewords.value, layer.scale.value]):
        assert np.isfinite(gradient).all()


def test_initial_weights_are_in_the_ranges_of_the_official_code():
    layer = Encoding(32)
    layer.build((None, None, None, 512))
    codewords, scale = layer.codewords.numpy(), layer.scale.numpy()
    bound = (32 * 512) ** -0.5
    assert 0.99 * bound < np.abs(codewords).max() <= bound
    assert -1 <= scale.min() < -0.8 < -0.2 < scale.max() <= 0


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {
            "stochastic_scale": True,
            "aggregation": "mean",
            "seed": 3,
            "codewords_initializer": "ones",
            "scale_initializer": keras.initializers.Constant(-0.25),
            "dtype": "float64",
        },
    ],
)
def test_layer_is_rebuilt_from_its_configuration(arguments):
    layer = Encoding(np.int64(4), name="codes", **arguments)
    config = layer.get_config()
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    )
    assert type(again) is Encoding
    assert again.get_config() == config
    for argument in ("num_codewords", "stochastic_scale", "aggregation", "seed", "name"):
        assert getattr(again, argument) == getattr(layer, argument)
    for one in (layer, again):
        one.build((None, None, 6))
    if arguments:
        np.testing.assert_array_equal(again.codewords, layer.codewords)
        np.testing.assert_array_equal(again.scale, np.full(4, -0.25))


@pytest.mark.parametrize("stochastic_scale", [False, True])
def test_saved_model_gives_identical_codes(rng, tmp_path, stochastic_scale):
    inputs = keras.Input((None, None, 6))
    layer = encoding_of(*parameters(rng, 4, 6), stochastic_scale=stochastic_scale)
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = rng.normal(size=(2, 3, 3, 6)).astype("float32")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("num_codewords", [0, -1, 1.5, True])
def test_num_codewords_must_be_a_positive_integer(num_codewords):
    with pytest.raises(ValueError, match=f"num_codewords={num_codewords}"):
        Encoding(num_codewords)


@pytest.mark.parametrize("shape", [(None, None, None, None), (2, 6), (1, 2, 2, 2, 6)])
def test_input_of_another_rank_or_unknown_channels_raises(shape):
    with pytest.raises(ValueError, match="with known channels. Received: input_shape="):
        Encoding(4).build(shape)


def test_input_with_another_number_of_channels_raises():
    layer = Encoding(4)
    layer(np.ones((1, 2, 2, 6)))
    with pytest.raises(ValueError, match="axis -1"):
        layer(np.ones((1, 2, 2, 7)))
