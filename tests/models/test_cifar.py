"""The CIFAR networks are those of the paper, with the interface of Keras Applications."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_encnet
from keras_encnet import EncNet14, ResNet14, SEResNet14

# For width 8, which a reduction ratio of 16 would reduce to 0.
BUILDERS = (
    pytest.param(ResNet14, id="ResNet14"),
    pytest.param(functools.partial(SEResNet14, reduction=4), id="SEResNet14"),
    pytest.param(EncNet14, id="EncNet14"),
)


def trainable_parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (lambda: ResNet14(), 2_777_482),
        (lambda: ResNet14(128), 11_092_746),
        (lambda: SEResNet14(), 2_800_322),
        (lambda: SEResNet14(reduction=8), 2_821_882),
        (lambda: EncNet14(), 3_514_250),
        (lambda: EncNet14(num_codewords=8), 3_168_346),
        (lambda: EncNet14(128, 16), 14_028_458),
        (lambda: EncNet14(128, 32), 16_788_234),
    ],
)
def test_number_of_parameters_matches_the_paper(build, parameters):
    assert trainable_parameters(build()) == parameters


def test_stochastic_scale_is_not_trainable():
    model, stochastic = EncNet14(8), EncNet14(8, stochastic_scale=True)
    assert trainable_parameters(model) == trainable_parameters(stochastic) + 6 * 16


@pytest.mark.parametrize("build", BUILDERS)
def test_probabilities_are_the_softmax_of_the_logits(build, rng):
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    model = build(8)
    logits = build(8, classifier_activation=None)
    logits.set_weights(model.get_weights())
    outputs = np.asarray(model(images))
    np.testing.assert_allclose(outputs.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(keras.ops.softmax(logits(images)), outputs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("shape", [(32, 32, 3), (None, None, 3), (40, 24, 1)])
def test_features_have_a_quarter_of_the_image_size(build, shape):
    model = build(8, include_top=False, input_shape=shape)
    sides = [None if side is None else side // 4 for side in shape[:2]]
    assert model.output.shape == (None, *sides, 32)


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_pooling_reduces_all_pixels(pooling, rng):
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    model = EncNet14(8, include_top=False)
    pooled = EncNet14(8, include_top=False, pooling=pooling)
    pooled.set_weights(model.get_weights())
    reduce = {"avg": np.mean, "max": np.max}[pooling]
    expected = reduce(np.asarray(model(images)), axis=(1, 2))
    np.testing.assert_allclose(pooled(images), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("build", BUILDERS)
def test_other_image_sizes_and_100_classes(build, rng):
    model = build(8, input_shape=(None, None, 3), classes=100)
    for size in ((1, 1), (17, 33), (64, 48)):
        images = rng.normal(size=(2, *size, 3)).astype("float32")
        outputs = np.asarray(model(images))
        assert outputs.shape == (2, 100)
        assert np.isfinite(outputs).all()


def test_input_tensor_of_another_model(rng):
    images = keras.Input((28, 28, 3))
    model = EncNet14(8, input_tensor=keras.layers.ZeroPadding2D(2)(images))
    assert model(rng.normal(size=(2, 28, 28, 3))).shape == (2, 10)


@pytest.mark.parametrize("build", BUILDERS)
def test_saved_model_gives_identical_predictions(build, tmp_path, rng):
    model = build(8)
    model.class_names = "plane car bird cat deer dog frog horse ship truck".split()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, keras_encnet.ClassificationModel)
    images = rng.integers(0, 256, (3, 32, 32, 3)).astype("uint8")
    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.class_names == model.class_names
    assert loaded.classifier_activation == "softmax"


def test_weights_are_loaded_from_a_file(tmp_path, rng):
    model = EncNet14(8)
    model.save_weights(tmp_path / "model.weights.h5")
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    loaded = EncNet14(8, weights=tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_classify_normalizes_raw_images(rng):
    images = rng.integers(0, 256, (3, 32, 32, 3)).astype("uint8")
    model = ResNet14(8, classifier_activation=None)
    inner = ResNet14(8, classifier_activation=None, include_preprocessing=False)
    inner.set_weights(model.get_weights())
    logits = inner(keras_encnet.preprocess_input(images, "cifar10"))
    expected = np.asarray(keras.ops.softmax(logits))
    np.testing.assert_allclose(model.classify(images), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.classify(images[0]), expected[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [-1.0, 256.0])
def test_images_that_are_not_raw_raise(value):
    with pytest.raises(ValueError, match="0 to 255"):
        ResNet14(8).classify(np.full((32, 32, 3), value))


@pytest.mark.slow
def test_stochastic_scale_is_reproducible_and_random_in_training_only(rng):
    images = rng.normal(size=(4, 32, 32, 3)).astype("float32")
    other, runs = EncNet14(4, 4, stochastic_scale=True), []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        model = EncNet14(4, 4, stochastic_scale=True)
        model.set_weights(_with_seeds_of(model, other))
        runs.append([np.asarray(model(images, training=True)) for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0][0] - runs[0][1]).max() > 0
    assert np.abs(runs[0][0] - runs[2][0]).max() > 0
    np.testing.assert_array_equal(model(images), model(images))


def _with_seeds_of(model, other):
    """Copies the weights of `other`, except the states of random generators."""
    pairs = zip(model.weights, other.weights, strict=True)
    return [(mine if mine.dtype == "uint32" else theirs).numpy() for mine, theirs in pairs]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("build", BUILDERS)
def test_mixed_precision_agrees_and_returns_float32(build, policy, rng):
    images = rng.normal(size=(4, 32, 32, 3)).astype("float32")
    exact = build(8)
    keras.config.set_dtype_policy(policy)
    mixed = build(8)
    mixed.set_weights(exact.get_weights())
    outputs = mixed(images)
    assert outputs.dtype == "float32"
    np.testing.assert_allclose(outputs, exact(images), atol=0.03)
    codes = [layer for layer in mixed.layers if "gate" in layer.name and "attention" in layer.name]
    assert all(layer.input[1].dtype == "float32" for layer in codes)


@pytest.mark.parametrize("build", BUILDERS)
def test_training_lowers_the_loss(build, rng):
    labels = np.arange(16) % 4
    images = rng.normal(size=(16, 8, 8, 3)) + labels[:, None, None, None]
    images = (40 * images + 100).clip(0, 255).astype("uint8")
    model = build(8, input_shape=(8, 8, 3), classes=4)
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(keras_encnet.optimizers.SGD(0.05), loss, run_eagerly=True)
    losses = model.fit(images, labels, batch_size=16, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDERS)
def test_export_agrees_with_the_model(build, tmp_path, rng):
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    model = build(8)
    expected = model.predict(images, verbose=0)
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(loaded.serve(images), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "classes=1"),
        ({"width": 0}, "width=0"),
        ({"width": 2}, "`reduction` must be an integer from 1 to 2"),
        ({"num_codewords": 0}, "num_codewords=0"),
        ({"pooling": "mean"}, "pooling='mean'"),
        ({"input_shape": (32, 32)}, "input_shape=(32, 32)"),
        ({"classifier_activation": "relu"}, "classifier_activation='relu'"),
        ({"weights": "imagenet"}, "weights='imagenet'"),
    ],
)
def test_invalid_argument_raises(arguments, message):
    with pytest.raises(ValueError) as error:
        EncNet14(**arguments)
    assert message in str(error.value)
