"""Models with folded batch normalization compute the same."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_encnet.export import fold_batch_normalization
from keras_encnet.graph.folding import MultiplyAdd
from tests.fixtures import NETWORKS


def outputs_of(model, x):
    return {k: np.asarray(v) for k, v in as_dict(model(x, training=False)).items()}


def as_dict(outputs):
    return outputs if isinstance(outputs, dict) else {"output": outputs}


def kinds(model):
    return [type(layer) for layer in model.layers]


def folded_equal(model, x, atol=1e-5):
    folded = fold_batch_normalization(model)
    np.testing.assert_allclose(folded(x, training=False), model(x, training=False), atol=atol)
    return folded


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_folded_completely(name, randomize, rng):
    model = randomize(NETWORKS[name]())
    x = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    folded = fold_batch_normalization(model)
    assert type(folded) is type(model)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    assert not any(isinstance(layer, layers.Dropout) for layer in folded.layers)
    outputs = outputs_of(folded, x)
    for key, expected in outputs_of(model, x).items():
        atol = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(outputs[key], expected, rtol=1e-4, atol=atol)


def test_attributes_of_the_model_are_kept(randomize):
    model = randomize(NETWORKS["paper"]())
    model.class_names = "abcde"
    model.working_size = (64, 32)
    folded = fold_batch_normalization(model)
    assert folded.class_names == tuple("abcde")
    assert folded.working_size == (64, 32)
    assert folded.preprocessing == model.preprocessing
    assert set(folded.backbone_layers) <= {layer.name for layer in folded.layers}
    assert folded.head_layers


def test_original_model_is_not_changed(randomize):
    model = randomize(NETWORKS["fcn"]())
    before = [np.array(weight) for weight in model.weights]
    names = [layer.name for layer in model.layers]
    fold_batch_normalization(model)
    assert [layer.name for layer in model.layers] == names
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    "producer",
    [
        layers.Conv2D(6, 3, use_bias=True),
        layers.Conv2D(6, 3, strides=2, groups=3),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.SeparableConv2D(6, 3, depth_multiplier=2),
        layers.Dense(6),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_linear_layers_are_folded(producer, randomize, rng):
    images = keras.Input((9, 9, 3))
    producer = type(producer).from_config(producer.get_config())
    y = layers.BatchNormalization(scale=False)(producer(images))
    folded = folded_equal(randomize(keras.Model(images, y)), rng.normal(size=(2, 9, 9, 3)))
    assert kinds(folded) == [layers.InputLayer, type(producer)]


def depthwise_model(follow):
    images = keras.Input((9, 9, 3))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(images)
    return keras.Model(images, follow(layers.BatchNormalization()(x)))


def pointwise(x, **options):
    return layers.Conv2D(4, 1, strides=2, use_bias=False, name="pointwise", **options)(x)


@pytest.mark.parametrize(
    "follow",
    [
        lambda x: pointwise(x, activation="tanh"),
        lambda x: layers.BatchNormalization()(pointwise(x)),
    ],
    ids=["activation", "normalization"],
)
def test_shift_of_a_depthwise_convolution_becomes_a_bias_of_the_pointwise_one(
    follow, randomize, rng
):
    model = randomize(depthwise_model(follow))
    folded = folded_equal(model, rng.normal(size=(2, 9, 9, 3)))
    assert not folded.get_layer("depthwise").use_bias
    assert folded.get_layer("pointwise").use_bias


@pytest.mark.parametrize(
    "follow",
    [
        lambda x: layers.Conv2D(4, 3, padding="same")(x),
        lambda x: layers.Conv2D(4, 1, groups=2)(x),
        lambda x: layers.Conv2D(4, 1)(layers.ReLU()(x)),
        lambda x: layers.Add()([layers.Conv2D(6, 1)(x), x]),
    ],
    ids=["3x3", "groups", "ReLU", "two uses"],
)
def test_shift_of_a_depthwise_convolution_stays_elsewhere(follow, randomize, rng):
    model = randomize(depthwise_model(follow))
    assert folded_equal(model, rng.normal(size=(2, 9, 9, 3))).get_layer("depthwise").use_bias


def test_convolution_with_two_consumers_is_not_folded(randomize, rng):
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1)(images)
    y = layers.Add()([layers.BatchNormalization()(x), x])
    folded = folded_equal(randomize(keras.Model(images, y)), rng.normal(size=(2, 8, 8, 3)))
    assert MultiplyAdd in kinds(folded)


def test_output_convolution_is_not_folded(randomize, rng):
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1)(images)
    model = randomize(keras.Model(images, [x, layers.BatchNormalization()(x)]))
    folded = fold_batch_normalization(model)
    x = rng.normal(size=(2, 8, 8, 3))
    for output, expected in zip(folded(x), model(x), strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_layer_called_twice_is_not_folded(randomize, rng):
    images = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 1)
    y = conv(layers.BatchNormalization()(conv(images)))
    folded = folded_equal(randomize(keras.Model(images, y)), rng.normal(size=(2, 8, 8, 3)))
    assert kinds(folded).count(MultiplyAdd) == 1


def test_activation_or_another_axis_prevents_folding(randomize, rng):
    images = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 1, activation="relu")(images))
    y = layers.BatchNormalization(axis=1)(layers.Conv2D(4, 1)(x))
    folded = folded_equal(randomize(keras.Model(images, y)), rng.normal(size=(2, 8, 8, 3)))
    assert kinds(folded).count(MultiplyAdd) == 2


def test_folding_twice_is_the_same_as_once(randomize, rng):
    images = keras.Input((8, 8, 3))
    y = layers.Conv2D(2, 1)(layers.ReLU()(layers.BatchNormalization()(images)))
    once = folded_equal(randomize(keras.Model(images, y)), rng.normal(size=(2, 8, 8, 3)))
    folded_equal(once, rng.normal(size=(2, 8, 8, 3)), atol=0)


def test_model_that_is_not_functional_raises():
    with pytest.raises(ValueError, match="must be functional.*Received: model of class Model"):
        fold_batch_normalization(keras.Model())


def test_folded_model_can_be_saved_and_loaded(tmp_path, randomize, rng):
    folded = fold_batch_normalization(randomize(NETWORKS["resnet14"]()))
    folded.save(tmp_path / "folded.keras")
    x = rng.normal(size=(1, 32, 32, 3)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "folded.keras")
    np.testing.assert_array_equal(loaded(x), folded(x))
