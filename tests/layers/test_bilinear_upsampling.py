"""`BilinearUpsampling` interpolates as the published models do, for sizes known at run time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import BilinearUpsampling


def resize_axis(x, axis, size, align_corners):
    """Linear interpolation along one axis, in float64."""
    old = x.shape[axis]
    if align_corners:
        at = np.arange(size) * (old - 1) / max(size - 1, 1)
    else:
        at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    low = np.floor(at).astype(int)
    part = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    high = np.minimum(low + 1, old - 1)
    return x.take(low, axis) * (1 - part) + x.take(high, axis) * part


def resize(x, size, align_corners):
    rows = resize_axis(x.astype("float64"), 1, size[0], align_corners)
    return resize_axis(rows, 2, size[1], align_corners)


def reference_of(size):
    return np.zeros((1, *size, 3), "float32")


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(8, 16), (17, 5), (2, 3), (1, 1), (60, 59)])
def test_upsampling_is_bilinear_interpolation(rng, size, align_corners):
    x = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    out = BilinearUpsampling(align_corners)(x, reference_of(size))
    np.testing.assert_allclose(out, resize(x, size, align_corners), atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
def test_equal_size_changes_nothing(rng, align_corners):
    x = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    np.testing.assert_array_equal(BilinearUpsampling(align_corners)(x, reference_of((3, 5))), x)


@pytest.mark.parametrize("align_corners", [False, True])
def test_single_pixel_fills_the_output(align_corners):
    x = np.array([[[[3.0, -7.0]]]], "float32")
    out = BilinearUpsampling(align_corners)(x, reference_of((4, 6)))
    np.testing.assert_array_equal(out, np.broadcast_to(x, (1, 4, 6, 2)))


@pytest.mark.parametrize("align_corners", [False, True])
def test_gradients_sum_to_the_number_of_output_pixels(rng, align_corners):
    x = tf.constant(rng.normal(size=(1, 3, 5, 1)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = tf.reduce_sum(BilinearUpsampling(align_corners)(x, reference_of((8, 12))))
    assert np.sum(tape.gradient(out, x)) == pytest.approx(8 * 12, rel=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float64"])
def test_output_is_float32_under_every_policy(policy):
    layer = BilinearUpsampling(dtype=policy)
    x = tf.ones((1, 2, 2, 3), layer.compute_dtype)
    symbolic = layer(keras.KerasTensor((None, None, None, 3)), keras.KerasTensor((None, 4, 4, 3)))
    assert symbolic.dtype == "float32"
    assert layer(x, reference_of((4, 4))).dtype == "float32"


def test_float16_logits_are_interpolated_in_float32(rng):
    x = (1000 * rng.normal(size=(1, 3, 5, 2))).astype("float16")
    out = BilinearUpsampling(dtype="mixed_float16")(x, reference_of((24, 40)))
    np.testing.assert_allclose(out, resize(x, (24, 40), False), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("align_corners", [False, True])
def test_functional_model_supports_unknown_sizes(rng, align_corners):
    x, reference = keras.Input((None, None, 4)), keras.Input((None, None, 3))
    layer = BilinearUpsampling(align_corners)
    model = keras.Model((x, reference), layer(x, reference))
    assert model.output_shape == (None, None, None, 4)
    values = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    for size in ((7, 9), (16, 4)):
        wanted = np.zeros((2, *size, 3), "float32")
        np.testing.assert_allclose(
            model((values, wanted)), resize(values, size, align_corners), atol=1e-5
        )


@pytest.mark.parametrize("align_corners", [False, True])
def test_exported_function_supports_unknown_sizes(rng, tmp_path, align_corners):
    module = tf.Module()
    layer = BilinearUpsampling(align_corners)
    module.resize = tf.function(
        lambda x, reference: layer(x, reference),
        input_signature=[
            tf.TensorSpec((None, None, None, 4), tf.float32),
            tf.TensorSpec((None, None, None, 3), tf.float32),
        ],
    )
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    x = rng.normal(size=(1, 3, 5, 4)).astype("float32")
    for size in ((7, 9), (16, 4)):
        out = loaded.resize(x, reference_of(size))
        np.testing.assert_allclose(out, resize(x, size, align_corners), atol=1e-5)


def test_symbolic_shape_has_channels_of_x_and_size_of_reference():
    layer = BilinearUpsampling()
    out = layer(keras.KerasTensor((None, 3, 5, 4)), keras.KerasTensor((None, 24, None, 3)))
    assert out.shape == (None, 24, None, 4)


@pytest.mark.parametrize(("x", "reference"), [((2, 3, 4), (2, 8, 8, 3)), ((2, 3, 3, 4), (8, 8))])
def test_inputs_of_other_ranks_raise_an_error(x, reference):
    with pytest.raises(ValueError, match=r"Received: x.shape=.*reference.shape="):
        BilinearUpsampling()(np.ones(x), np.ones(reference))


@pytest.mark.parametrize("align_corners", [False, True])
def test_config_round_trip(align_corners):
    layer = BilinearUpsampling(align_corners, name="up")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is BilinearUpsampling
    assert again.get_config() == layer.get_config()
    assert again.align_corners is align_corners
