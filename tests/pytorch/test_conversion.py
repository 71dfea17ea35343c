"""Converted checkpoints compute what the published networks compute."""

import keras
import numpy as np
import pytest

import keras_encnet
from tests import procedural
from tests.pytorch import published, published_heads
from tests.pytorch.comparison import converted, relative_error
from tests.pytorch.published import R50, R101

ENDS = ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")


def trainable_parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.fixture(scope="module", params=["official_encnet50s_ade20k", "mmseg_encnet_r50-d8_ade20k"])
def encnet(request):
    """The model converted from a reference's weights, its outputs, and the expected outputs."""
    description, expected = procedural.golden(request.param)
    model = converted(procedural.weights(description["shapes"]))
    inner = {
        "logits": model.get_layer("segmentation_logits").output,
        "aux_logits": model.get_layer("segmentation_stage3_logits").output,
        **{name: model.get_layer(name).output for name in ENDS},
    }
    image = procedural.image(request.param, description["height"], description["width"])
    outputs = keras.Model(model.input, {**model.output, **inner})(image[None])
    return model, {name: np.asarray(output) for name, output in outputs.items()}, expected


def test_encnet_outputs_match_the_published_network(encnet):
    _, outputs, expected = encnet
    outputs["se_logits"] = outputs["presence"]
    outputs["logits_full_every_4th"] = outputs["segmentation"][:, ::4, ::4]
    for name in ("logits", "aux_logits", "se_logits", "logits_full_every_4th"):
        assert relative_error(outputs[name], expected[name]) < 1e-5, name
    np.testing.assert_array_equal(outputs["segmentation"].argmax(-1), expected["classes_full"])


def test_stage_means_match_the_published_network(encnet):
    _, outputs, expected = encnet
    for name, means in zip(ENDS, expected["feature_means"], strict=True):
        channels = outputs[name].shape[-1]
        assert relative_error(outputs[name].mean((0, 1, 2)), means[:channels]) < 1e-5, name
        assert not means[channels:].any()


def test_encnet_has_all_outputs_and_parameters(encnet):
    model, _, _ = encnet
    assert isinstance(model, keras_encnet.SegmentationModel)
    assert (model.name, model.preprocessing, model.classes) == ("encnet50", None, 150)
    assert set(model.output) == {"segmentation", "presence", "segmentation_stage3"}
    official = model.get_layer("segmentation").align_corners
    assert trainable_parameters(model) == (36_164_578 if official else 36_060_034)


@pytest.mark.parametrize(
    ("shapes", "parameters"),
    [
        (published.official(classes=59, lateral=True), 43_915_217),
        pytest.param(
            *(published.mmsegmentation(classes=19, blocks=R101), 54_884_089), marks=pytest.mark.slow
        ),
    ],
    ids=["official_pascal_context", "mmsegmentation_101_cityscapes"],
)
def test_number_of_trainable_parameters_is_as_published(shapes, parameters):
    assert trainable_parameters(keras_encnet.from_pytorch(published.empty(shapes))) == parameters


def test_resnet_stages_match_the_published_network():
    name = "torchvision_style_resnet50"
    description, expected = procedural.golden(name)
    model = converted(procedural.weights(description["shapes"]))
    image = procedural.image(name, description["height"], description["width"])
    stages = model(image[None])
    assert set(stages) == set(expected)
    for stage, features in stages.items():
        assert relative_error(features[..., ::8], expected[stage]) < 1e-5, stage


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "stem", "depth"),
    [
        ((2, 2, 2, 2), False, "plain", 18),
        (R50, False, "plain", 34),
        pytest.param((3, 8, 36, 3), True, "plain", 152, marks=pytest.mark.slow),
        # timm's resnet50s and the stem of its resnet50c.
        (R50, True, ("conv1", 64, 128), 50),
        ((1, 1, 1, 1), True, ("conv1", 32, 64), 14),
    ],
)
def test_resnets_of_every_depth_and_stem_are_recognized(blocks, bottleneck, stem, depth):
    shapes = published.resnet(blocks, bottleneck, stem)
    shapes |= {"fc.weight": (1000, 512), "fc.bias": (1000,), "bn1.num_batches_tracked": ()}
    model = keras_encnet.from_pytorch(published.empty(shapes))
    assert model.name == f"resnet{depth}"
    assert list(model.output) == ["stage1", "stage2", "stage3", "stage4"]
    assert model.count_params() == sum(
        np.prod(shape) for name, shape in shapes.items() if not name.startswith("fc.") and shape
    )


@pytest.mark.parametrize("name", ["cifar_encnet14_16k64d", "cifar_resnet14_64d"])
def test_cifar_networks_match_the_published_networks(name):
    description, expected = procedural.golden(name)
    model = converted(procedural.weights(description["shapes"]))
    assert isinstance(model, keras_encnet.ClassificationModel)
    assert model.classifier_activation is None
    assert trainable_parameters(model) == description["parameters"]
    images = np.stack([procedural.image(f"{name}{i}", 32, 32) for i in range(4)])
    assert relative_error(model(images), expected["logits"]) < 1e-5


def test_stochastic_scale_is_an_option_of_the_cifar_encnet_only():
    shapes = published.cifar(4, 3)
    state = procedural.weights(shapes)
    image = procedural.image("drop", 32, 32)[None]
    drop = keras_encnet.from_pytorch(state, stochastic_scale=True)
    fixed = {n: np.full_like(x, -0.5) if n.endswith("scale") else x for n, x in state.items()}
    assert relative_error(drop(image), keras_encnet.from_pytorch(fixed)(image)) < 1e-6
    with pytest.raises(ValueError, match="ResNet for CIFAR.*Received: stochastic_scale=True"):
        keras_encnet.from_pytorch(published.empty(published.cifar(4, 0)), stochastic_scale=True)


def test_working_size_is_an_option_of_segmentation_networks_only(tiny):
    assert keras_encnet.from_pytorch(tiny, working_size=64).working_size == 64
    with pytest.raises(ValueError, match="ResNet for CIFAR.*Received: working_size=64"):
        keras_encnet.from_pytorch(published.empty(published.cifar(4, 0)), working_size=64)


def test_cifar_network_with_another_number_of_classes():
    state = procedural.weights(published.cifar(4, 3))
    with pytest.warns(UserWarning, match="has 10 classes, not 5.*predictions"):
        model = keras_encnet.from_pytorch(state, classes=5)
    assert model.classes == 5
    del state["model.3.1.se.fc.3.codewords"]
    with pytest.raises(ValueError, match=r"Missing \(1\): model.3.1.se.fc.3.codewords \(3, 1\)"):
        keras_encnet.from_pytorch(state)


def test_input_shape_can_be_fixed():
    shapes = published.resnet((1, 1, 1, 1), bottleneck=False)
    model = keras_encnet.from_pytorch(
        published.empty(shapes), input_shape=(64, 96, 3), output_stride=32
    )
    assert model.output["stage4"].shape == (None, 2, 3, 512)


@pytest.mark.parametrize(
    ("shapes", "mode"),
    [
        (published.official(**published.TINY), "torch"),
        (published.mmsegmentation(**published.TINY), "torch"),
        (published_heads.official("fcn", classes=6, blocks=(1, 1, 1, 1)), "torch"),
        (published.resnet((1, 1, 1, 1), bottleneck=False), "torch"),
        (published.cifar(4, 3), "cifar10"),
        (published.cifar(4, 0), "cifar10"),
    ],
    ids=["official", "mmsegmentation", "fcn", "resnet", "cifar encnet", "cifar resnet"],
)
def test_converted_models_take_raw_images(shapes, mode, rng):
    state = procedural.weights(shapes)
    images = rng.integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    raw, normalized = keras_encnet.from_pytorch(state), converted(state)
    outputs = raw(images), normalized(keras_encnet.preprocess_input(images, mode))
    for actual, expected in zip(*map(keras.tree.flatten, outputs), strict=True):
        assert relative_error(actual, expected) < 1e-5


@pytest.mark.parametrize(
    "shapes",
    [
        published.cifar(4, 0),
        pytest.param(published.official(**published.TINY), marks=pytest.mark.slow),
    ],
    ids=["cifar resnet", "official"],
)
def test_checkpoints_of_rgb_images_fit_any_number_of_channels(shapes, rng):
    state, options = procedural.weights(shapes), {"mean": 110.0, "std": 60.0}
    images = rng.integers(0, 256, (1, 32, 32, 1)).astype("uint8")
    rgb = keras_encnet.from_pytorch(state, **options)(images.repeat(3, -1))
    for channels in (1, 6):
        model = keras_encnet.from_pytorch(state, input_shape=(None, None, channels), **options)
        outputs = model(images.repeat(channels, -1))
        for actual, expected in zip(*map(keras.tree.flatten, (outputs, rgb)), strict=True):
            assert relative_error(actual, expected) < 1e-4


def test_checkpoints_of_other_images_require_their_number_of_channels():
    state = procedural.weights(published.cifar(4, 0))
    [first] = [name for name, x in state.items() if x.ndim == 4 and x.shape[1] == 3]
    state[first] = np.resize(state[first], (4, 5, 3, 3))
    model = keras_encnet.from_pytorch(state, input_shape=(None, None, 5))
    kernel = model.get_layer("stem_conv").kernel
    np.testing.assert_array_equal(kernel, state[first].transpose(2, 3, 1, 0))
    with pytest.raises(
        ValueError, match=r"Misshapen \(1\):.*\(4, 5, 3, 3\) instead of \(4, 3, 3, 3"
    ):
        keras_encnet.from_pytorch(state)
