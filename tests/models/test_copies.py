"""Copies of a model keep its class, normalization, class names and list of backbone layers."""

import copy
import pickle

import keras
import numpy as np
import pytest

import keras_encnet
from tests.fixtures import raw_images, small_encnet


def clone(model, tmp_path):
    return keras.models.clone_model(model)


def from_config(model, tmp_path):
    return type(model).from_config(model.get_config())


def deepcopy(model, tmp_path):
    return copy.deepcopy(model)


def pickled(model, tmp_path):
    return pickle.loads(pickle.dumps(model))


def saved(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


COPIES = (clone, from_config, deepcopy, pickled, saved)


IMAGES = raw_images(1, 32, 40)


@pytest.fixture(scope="module", params=["raw", "normalized", "compiled"])
def original(request, randomize):
    """A model that is not changed, images for it, and their masks."""
    raw = request.param != "normalized"
    options = {"preprocessing": "caffe"} if raw else {"include_preprocessing": False}
    model = randomize(small_encnet(classes=3, **options))
    model.class_names = ("sky", "tree", "road")
    model.working_size = {"raw": 48, "normalized": (64, 24), "compiled": None}[request.param]
    model.get_layer("conv1_bn").trainable = False
    if request.param == "compiled":
        model.compile("sgd", **keras_encnet.objectives(model))
    images = IMAGES if raw else keras_encnet.preprocess_input(IMAGES)
    return model, images, model.segment(images)


@pytest.mark.parametrize("copied", COPIES)
def test_copies_keep_what_a_model_is(copied, original, tmp_path):
    model, images, masks = original
    twin = copied(model, tmp_path)
    twin.set_weights(model.get_weights())
    assert type(twin) is keras_encnet.SegmentationModel
    assert twin.preprocessing == model.preprocessing
    assert twin.class_names == ("sky", "tree", "road")
    assert twin.working_size == model.working_size
    assert twin.backbone_layers == model.backbone_layers
    assert twin.head_layers == model.head_layers
    assert not twin.get_layer("conv1_bn").trainable
    np.testing.assert_array_equal(twin.segment(images), masks)
    twin.freeze_backbone_batch_normalization()
    assert not any(
        twin.get_layer(name).trainable for name in twin.backbone_layers if name.endswith("_bn")
    )


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("activation", ["softmax", None])
def test_copies_of_a_classifier_keep_its_activation(copied, activation, randomize, rng, tmp_path):
    model = randomize(keras_encnet.ResNet14(width=4, classifier_activation=activation))
    twin = copied(model, tmp_path)
    twin.set_weights(model.get_weights())
    images = rng.integers(0, 256, (2, 32, 32, 3), "uint8")
    np.testing.assert_array_equal(twin(images), model(images))
    assert twin.classifier_activation == activation
    assert twin.class_names == model.class_names


def test_a_clone_of_a_clone_keeps_names_and_may_change_them():
    model = small_encnet(classes=3, working_size=48)
    model.class_names = ("sky", "tree", "road")
    twin = keras.models.clone_model(keras.models.clone_model(model))
    assert twin.class_names == ("sky", "tree", "road")
    assert twin.working_size == 48
    twin.class_names = twin.working_size = None
    part = twin.with_outputs("segmentation")
    assert (part.class_names, part.working_size) == (("0", "1", "2"), None)
    assert (model.class_names, model.working_size) == (("sky", "tree", "road"), 48)


def test_a_clone_lists_the_backbone_layers_that_it_has():
    model = small_encnet(classes=3)

    def renamed(layer):
        config = layer.get_config()
        if layer.name == "conv1_conv":
            config["name"] = "stem"
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=renamed)
    assert twin.backbone_layers == tuple(x for x in model.backbone_layers if x != "conv1_conv")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
@pytest.mark.parametrize("copied", COPIES)
def test_copies_keep_lora_and_quantization(copied, randomize, tmp_path):
    model = randomize(small_encnet(classes=3))
    model.get_layer("segmentation_logits").enable_lora(2)
    randomize(model)
    if copied not in (clone, from_config):  # which do not copy weights
        model.quantize("int8")
    twin = copied(model, tmp_path)
    if copied in (clone, from_config):
        twin.set_weights(model.get_weights())
    found, expected = twin(IMAGES), model(IMAGES)
    np.testing.assert_allclose(found["presence"], expected["presence"], 1e-4, 1e-5)
    classes = [np.argmax(outputs["segmentation"], -1) for outputs in (found, expected)]
    assert np.mean(classes[0] == classes[1]) > 0.999
