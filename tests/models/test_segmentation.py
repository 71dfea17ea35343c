"""Assembled models: arguments, and what a saved model keeps."""

import itertools

import keras
import numpy as np
import pytest

from keras_encnet import (
    FCN,
    FCN50,
    EncNet,
    EncNet50,
    ResNet14,
    SegmentationModel,
    preprocess_input,
)
from keras_encnet.backbones import ResNet, ResNet50
from tests.fixtures import VARIANTS, normalized_image, raw_images


@pytest.mark.parametrize(
    "options",
    [{"classes": classes} for classes in (1, 0, 2.5, True)]
    + [{"num_codewords": num_codewords} for num_codewords in (-1, 1.5, True)]
    + [{"variant": "torch"}, {"codeword_pooling": "max"}, {"gating": "relu"}, {"auxiliary": "aux"}],
)
def test_invalid_argument_raises(tiny, options):
    ((argument, value),) = options.items()
    with pytest.raises(ValueError, match=f"Received: {argument}={value!r}"):
        tiny(**options)


@pytest.mark.parametrize("build", [EncNet, FCN])
@pytest.mark.parametrize("backbone", ["resnet50", None, ResNet])
def test_backbone_that_is_no_model_raises(build, backbone):
    with pytest.raises(ValueError, match=r"ResNet50\(\)`.*`keras_encnet.EncNet50`.*backbone="):
        build(backbone)


@pytest.mark.parametrize("suffix", ["h5", "hdf5"])
@pytest.mark.parametrize("build", ["encnet", "cifar"])
def test_saving_in_another_format_names_the_one_of_keras(tiny, tmp_path, build, suffix):
    model = tiny() if build == "encnet" else ResNet14(4)
    with pytest.raises(ValueError, match=r"ends in `\.keras`.*Received: filepath="):
        model.save(tmp_path / f"model.{suffix}")
    assert not list(tmp_path.iterdir())
    inputs = keras.Input((32, 32, 3))
    for saved in (model, keras.Model(inputs, model(inputs))):
        with pytest.raises(ValueError, match=r"ends in `\.keras`.*Received: a path"):
            keras.saving.save_model(saved, tmp_path / f"model.{suffix}")


@pytest.mark.parametrize("build", ["encnet", "fcn", "resnet", "cifar"])
@pytest.mark.parametrize("shape", [(3, None, None), (3, 64, 64), (64, 64), (64, 64, None)])
def test_input_shape_must_have_the_channels_last(build, shape):
    builders = {
        "encnet": lambda **options: EncNet50(backbone_weights=None, **options),
        "fcn": lambda **options: FCN50(backbone_weights=None, **options),
        "resnet": ResNet50,
        "cifar": lambda **options: ResNet14(4, **options),
    }
    with pytest.raises(ValueError, match=r"channels last.*`\(None, None, 3\)`.*input_shape="):
        builders[build](input_shape=shape)


@pytest.mark.parametrize("build", [EncNet, FCN])
@pytest.mark.parametrize("stages", [None, ("stage4",), ("stage3",)])
def test_backbone_without_stages_raises(tiny_backbone, build, stages):
    backbone = tiny_backbone()
    outputs = {name: backbone.output[name] for name in stages} if stages else backbone.outputs[-1]
    with pytest.raises(ValueError, match="keys `stage1` to `stage4`.*Received: (output|backbone)="):
        build(keras.Model(backbone.input, outputs))


@pytest.mark.parametrize(
    ("variant", "options"),
    [*itertools.product(VARIANTS, [{}]), ("paper", {"num_codewords": 0, "lateral": True})],
)
def test_saved_model_gives_identical_outputs(tiny, randomize, tmp_path, variant, options):
    model = randomize(tiny(variant, **options))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is SegmentationModel
    assert loaded.name == model.name
    x = normalized_image(2, 17, 23)
    expected = model(x)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, expected[name])


def test_model_saved_under_mixed_precision_gives_identical_outputs(tiny, randomize, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = randomize(tiny())
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = normalized_image(2, 17, 23)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, model(x)[name])


def test_laterals_of_other_sizes_raise_when_the_model_is_built():
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.25, output_stride=16)
    with pytest.raises(ValueError, match="output_stride=8"):
        EncNet(backbone, classes=3, channels=8, lateral=True)


def small_resnet(**options):
    return ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.125, **options)


@pytest.mark.parametrize("preprocessing", [None, "caffe"], ids=["added", "of the backbone"])
def test_normalization_changes_neither_weights_nor_names(preprocessing, tmp_path):
    raw = FCN(small_resnet(preprocessing=preprocessing), 3, preprocessing="caffe")
    plain = FCN(small_resnet(), 3, include_preprocessing=False)
    assert (raw.preprocessing, plain.preprocessing) == ("caffe", None)
    names = [[layer.name for layer in model.layers] for model in (raw, plain)]
    assert [name for name in names[0] if name != "image_normalization"] == names[1]
    assert set(plain.backbone_layers) | {"image_normalization"} == set(raw.backbone_layers)
    plain.save_weights(tmp_path / "plain.weights.h5")
    raw.load_weights(tmp_path / "plain.weights.h5")
    images = raw_images(2, 33, 41)
    expected = plain(preprocess_input(images, "caffe"))["segmentation"]
    np.testing.assert_allclose(raw(images)["segmentation"], expected, rtol=1e-5, atol=1e-5)


def test_added_normalization_shares_the_layers_of_the_backbone():
    backbone = small_resnet()
    model = FCN(backbone, 3)
    assert all(layer in model.layers for layer in backbone.layers if layer.weights)
    assert [type(layer).__name__ for layer in model.layers].count("Functional") == 0


def test_backbone_that_normalizes_itself_gets_raw_images():
    images = raw_images(1, 32, 32)
    own = FCN(small_resnet(), 3, preprocessing="none")
    plain = FCN(small_resnet(), 3, include_preprocessing=False)
    plain.set_weights(own.get_weights())
    expected = plain(images.astype("float32"))["segmentation"]
    np.testing.assert_array_equal(own(images)["segmentation"], expected)


@pytest.mark.parametrize(
    "options", [{"preprocessing": "torch"}, {"include_preprocessing": False}], ids=str
)
def test_arguments_that_contradict_the_normalization_of_the_backbone_raise(options):
    with pytest.raises(ValueError, match="must not contradict.*with the mode 'caffe'"):
        EncNet(small_resnet(preprocessing="caffe"), 3, **options)


def test_images_of_other_channels_can_be_normalized_by_the_user(tiny_backbone):
    model = FCN(tiny_backbone(channels=4), 3, include_preprocessing=False)
    assert model(np.zeros((1, 8, 8, 4), "float32"))["segmentation"].shape == (1, 8, 8, 3)
