"""Networks of Keras Applications as backbones: same features, trained, saved and exported."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_encnet
from keras_encnet import FCN, EncNet, preprocess_input
from keras_encnet.backbones import from_keras_applications
from keras_encnet.backbones.keras_applications import NETWORKS
from keras_encnet.export import (
    export_litert,
    export_onnx,
    export_saved_model,
    fold_batch_normalization,
    with_precision,
)
from keras_encnet.graph.precision import NORMALIZATIONS
from tests.export.test_portable import run_litert, run_onnx
from tests.fixtures import assert_same_classes, raw_images

# One network of each family, and the mode of its preprocessing.
FAMILIES = {
    "ConvNeXtTiny": "none",
    "DenseNet121": "torch",
    "EfficientNetB0": "torch",
    "EfficientNetV2B0": "none",
    "EfficientNetV2S": "none",
    "InceptionResNetV2": "tf",
    "InceptionV3": "tf",
    "MobileNet": "tf",
    "MobileNetV2": "tf",
    "MobileNetV3Small": "none",
    "NASNetMobile": "tf",
    "ResNet50": "caffe",
    "ResNet50V2": "tf",
    "VGG16": "caffe",
    "Xception": "tf",
}
# Keras leaves out windows at the border; with them, features differ.
WITH_BORDER = {"InceptionResNetV2", "InceptionV3", "NASNetMobile", "Xception"}
# Keras rounds sizes down, and leaves out pixels of images of odd sizes.
ROUNDED_DOWN = {"ConvNeXtTiny", "DenseNet121", "MobileNet", "VGG16"}
FAST = "MobileNetV3Small"


def families(names=FAMILIES):
    marks = {name: () if name == FAST else pytest.mark.slow for name in sorted(names)}
    parameters = [pytest.param(name, marks=mark) for name, mark in marks.items()]
    return pytest.mark.parametrize("family", parameters, indirect=True)


@pytest.fixture(scope="module")
def family(request):
    return request.param


@pytest.fixture(scope="module")
def source(family):
    """A network of Keras with the statistics of images, so that its features depend on these."""
    keras.utils.set_random_seed(0)
    _, build, _ = NETWORKS[family.lower()]
    network = build(include_top=False, weights=None, input_shape=(*size_for(family), 3))
    norms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    network(as_keras_expects(family, raw_images(2, *size_for(family))), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network


@pytest.fixture(scope="module")
def backbone(family, source, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "network.weights.h5"
    source.save_weights(path)
    return from_keras_applications(family, weights=path)


@pytest.fixture(scope="module")
def model(backbone):
    return EncNet(backbone, 3, channels=8)


def size_for(name):
    return (96, 128) if name in ROUNDED_DOWN | WITH_BORDER else (97, 130)


def as_keras_expects(name, images):
    normalized = preprocess_input(images, FAMILIES[name])
    # Without the weights for ImageNet, Keras leaves a part of the normalization out.
    return 255 * normalized if name == "EfficientNetB0" else normalized


@families(set(FAMILIES) - WITH_BORDER)
def test_features_are_those_of_keras(family, source, backbone):
    images = raw_images(1, *size_for(family), seed=1)
    expected = np.asarray(source(as_keras_expects(family, images)))
    outputs = backbone(images)["stage4"]
    np.testing.assert_allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())


@families()
def test_stages_have_the_sizes_of_their_strides(family, backbone, model):
    stages = backbone(raw_images(1, 97, 130))
    sizes = [tuple(x.shape[1:3]) for x in stages.values()]
    assert sizes == [(-(-97 // stride), -(-130 // stride)) for stride in (4, 8, 16, 32)]
    assert model.preprocessing == FAMILIES[family]


@families()
def test_folding_and_precision_keep_the_predictions(family, model):
    images = raw_images(1, 97, 130)
    expected = np.asarray(model(images)["segmentation"])
    folded = fold_batch_normalization(model)
    outputs = np.asarray(folded(images)["segmentation"])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs, expected, atol=1e-3 * scale)
    reduced = with_precision(folded, "bfloat16")
    outputs = np.asarray(reduced(images)["segmentation"])
    # Fifty layers of random weights amplify rounding, with and without folding.
    assert np.corrcoef(outputs.ravel(), expected.ravel())[0, 1] > 0.7
    dtypes = {x.compute_dtype for x in reduced.layers if isinstance(x, NORMALIZATIONS)}
    assert dtypes == {"float32"}


@pytest.mark.slow
@families()
def test_saved_and_exported_models_predict_the_same(family, model, tmp_path):
    images = raw_images(1, 97, 130)
    logits = np.asarray(model(images)["segmentation"])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images)["segmentation"], logits)
    export_litert(model, tmp_path / "model.tflite")
    assert_same_classes(run_litert(tmp_path / "model.tflite", images)["classes"], logits)


# Converting all families would take minutes.
@pytest.mark.slow
@families({"ConvNeXtTiny", "DenseNet121", "EfficientNetV2B0", "MobileNetV3Small"})
def test_saved_models_and_onnx_predict_the_same(family, model, tmp_path):
    images = raw_images(1, 97, 130)
    logits = np.asarray(model(images)["segmentation"])
    export_saved_model(model, tmp_path / "1", size=(64, 64))
    served = tf.saved_model.load(tmp_path / "1").signatures["tensors_uint8"]
    assert_same_classes(served(images=tf.constant(images))["classes"], logits)
    export_onnx(model, tmp_path / "model.onnx")
    assert_same_classes(run_onnx(tmp_path / "model.onnx", images)["classes"], logits)


@pytest.mark.slow
@families({"ConvNeXtTiny", "EfficientNetV2B0"})
def test_models_with_layers_of_keras_applications_load_in_a_new_process(family, model, tmp_path):
    images = raw_images(1, 64, 64)
    np.save(tmp_path / "images.npy", images)
    model.save(tmp_path / "model.keras")
    code = (
        "import keras, keras_encnet, numpy as np; m = keras.models.load_model('model.keras');"
        "np.save('out.npy', m(np.load('images.npy'))['segmentation'])"
    )
    root = keras_encnet.__file__.removesuffix("/keras_encnet/__init__.py")
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"]
    subprocess.run(run, cwd=tmp_path, check=True)
    expected = model(images)["segmentation"]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@families()
def test_training_reaches_the_first_layer(family, model):
    model = keras.models.clone_model(model)
    # Tracing the large ones takes much longer than the step.
    model.compile("sgd", **keras_encnet.objectives(model), run_eagerly=family != FAST)
    kernel = next(x for x in model.trainable_variables if len(x.shape) == 4)
    before = np.array(kernel)
    images = raw_images(2, 64, 64)
    masks = np.arange(2 * 64 * 64).reshape(2, 64, 64) % 3
    loss = model.train_on_batch(images, masks, return_dict=True)["loss"]
    assert np.isfinite(loss)
    assert not np.array_equal(kernel, before)


def test_weights_of_another_network_raise(tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights(path)
    with pytest.raises(
        ValueError, match=r"MobileNetV3Small\(include_top=False\).*Received: weights="
    ):
        from_keras_applications("MobileNetV3Small", weights=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ResNet999"}, "EfficientNetV2B0, .*Received: name='ResNet999'"),
        ({"weights": "nowhere.h5"}, "MobileNet.include_top=False.*Received: weights='nowhere.h5'"),
        ({"input_shape": (3, 64, 64)}, "channels last.*Received: input_shape="),
        ({"width": 2}, "unexpected keyword argument 'width'"),
    ],
)
def test_invalid_argument_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        from_keras_applications(**{"name": "MobileNet", **arguments})


def test_images_of_other_channels_are_normalized_by_the_user():
    options = {"input_shape": (64, 64, 4), "include_preprocessing": False, "alpha": 0.25}
    backbone = from_keras_applications("mobilenet", **options)
    assert backbone(np.zeros((1, 64, 64, 4), "float32"))["stage4"].shape == (1, 2, 2, 256)
    assert FCN(backbone, 3, include_preprocessing=False).preprocessing is None
