"""Dilated ResNets: structure, dilation, and the weights of Keras Applications."""

import socket

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.backbones import (
    ResNet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    preprocessing_of,
)

STAGES = ("stage1", "stage2", "stage3", "stage4")
# Where Keras Applications' ResNet-50 has what ours calls a stage.
ENDS = ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")


def tiny(blocks=(1, 1, 1, 1), bottleneck=False, width_multiplier=0.25, **options):
    return ResNet(blocks, bottleneck, width_multiplier=width_multiplier, **options)


def relative_error(actual, expected):
    return np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(
    ("output_stride", "strides"), [(8, (4, 8, 8, 8)), (16, (4, 8, 16, 16)), (32, (4, 8, 16, 32))]
)
@pytest.mark.parametrize("stem", ["plain", "deep_32"])
def test_stages_have_the_size_of_their_stride(output_stride, strides, stem):
    model = tiny(output_stride=output_stride, stem=stem)
    for height, width in ((64, 96), (33, 47), (1, 1)):
        outputs = model(np.zeros((2, height, width, 3), "float32"))
        assert tuple(outputs) == STAGES
        for stage, stride, channels in zip(STAGES, strides, (16, 32, 64, 128), strict=True):
            assert outputs[stage].shape == (2, -(-height // stride), -(-width // stride), channels)


@pytest.mark.parametrize(
    ("build", "stem", "parameters"),
    [
        (ResNet50, "plain", 23_508_032),
        (ResNet50, "deep_32", 23_527_264),
        (ResNet50, "deep_64", 23_631_808),
        (ResNet101, "plain", 42_500_160),
    ],
)
def test_number_of_parameters_matches_pytorch(build, stem, parameters):
    # torchvision's numbers without the classifier, plus the layers that deep stems add.
    model = build(stem=stem)
    assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == parameters


def blocks_of(model):
    """Returns the number of blocks per stage, from the names of layers."""
    ends = [layer.name for layer in model.layers if layer.name.endswith("_add")]
    return tuple(sum(name.startswith(f"conv{stage}_") for name in ends) for stage in (2, 3, 4, 5))


@pytest.mark.parametrize(
    ("build", "blocks", "convolutions"),
    [
        (ResNet18, (2, 2, 2, 2), 2),
        (ResNet34, (3, 4, 6, 3), 2),
        pytest.param(ResNet152, (3, 8, 36, 3), 3, marks=pytest.mark.slow),
    ],
)
def test_other_depths_have_the_blocks_of_the_paper(build, blocks, convolutions):
    model = build(width_multiplier=1 / 64)
    assert blocks_of(model) == blocks
    # The depth in the name counts the stem, the convolutions of the blocks and the classifier.
    assert model.name == f"resnet{1 + sum(blocks) * convolutions + 1}"


@pytest.mark.parametrize(
    ("output_stride", "stage3", "stage4"),
    [(8, (1, 2, 2), (2, 4, 4)), (16, (1, 1, 1), (1, 2, 2)), (32, (1, 1, 1), (1, 1, 1))],
)
@pytest.mark.parametrize("stride_on", ["1x1", "3x3"])
def test_first_block_of_a_dilated_stage_has_half_the_dilation(
    output_stride, stage3, stage4, stride_on
):
    model = tiny((3, 3, 3, 3), bottleneck=True, output_stride=output_stride, stride_on=stride_on)
    for stage, expected in ((2, (1, 1, 1)), (3, (1, 1, 1)), (4, stage3), (5, stage4)):
        names = [f"conv{stage}_block{block}_2_conv" for block in (1, 2, 3)]
        dilations = [model.get_layer(name).dilation_rate for name in names]
        assert dilations == [(rate, rate) for rate in expected]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Stages 3 and 4, three blocks each: the dilations of both convolutions.
        ("block", (((1, 1), (2, 2), (2, 2)), ((2, 2), (4, 4), (4, 4)))),
        ("stage", (((1, 2), (2, 2), (2, 2)), ((2, 4), (4, 4), (4, 4)))),
        ("none", (((1, 1), (2, 1), (2, 1)), ((2, 1), (4, 1), (4, 1)))),
    ],
)
def test_second_dilation_selects_the_rule_of_basic_blocks(rule, expected):
    model = tiny((3, 3, 3, 3), second_dilation=rule)
    for stage, blocks in zip((4, 5), expected, strict=True):
        for block, dilations in enumerate(blocks, start=1):
            names = [f"conv{stage}_block{block}_{i}_conv" for i in (1, 2)]
            assert tuple(model.get_layer(name).dilation_rate[0] for name in names) == dilations


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (65, 30)])
def test_strided_stages_can_be_dilated(size):
    model = tiny((2, 2, 2, 2), True, output_stride=32, stride_on="3x3", dilate_strided=True)
    outputs = model(np.zeros((1, *size, 3), "float32"))
    for stage, stride in zip(STAGES, (4, 8, 16, 32), strict=True):
        assert outputs[stage].shape[1:3] == tuple(-(-side // stride) for side in size)
    rates = {
        name: model.get_layer(f"{name}_2_conv").dilation_rate[0]
        for name in ("conv4_block1", "conv4_block2", "conv5_block2")
    }
    assert rates == {"conv4_block1": 1, "conv4_block2": 2, "conv5_block2": 4}


def test_strided_convolution_with_dilation_reads_every_other_pixel(rng):
    model = tiny((1, 1, 1, 1), True, output_stride=32, stride_on="3x3", dilate_strided=True)
    before, conv = model.get_layer("conv5_block1_1_relu"), model.get_layer("conv5_block1_2_conv")
    x = rng.normal(size=(1, 9, 12, conv.kernel.shape[2])).astype("float32")
    strided = keras.Model(before.output, conv.output)(x)
    dilated = keras.ops.conv(
        np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0))), conv.kernel, 1, "valid", dilation_rate=2
    )
    np.testing.assert_allclose(strided, dilated[:, ::2, ::2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("stride_on", "strided"), [("1x1", "1"), ("3x3", "2")])
@pytest.mark.parametrize(("output_stride", "stages"), [(8, "3"), (16, "34"), (32, "345")])
def test_stride_on_selects_the_strided_convolution(stride_on, strided, output_stride, stages):
    model = tiny((2, 2, 2, 2), bottleneck=True, output_stride=output_stride, stride_on=stride_on)
    found = {
        layer.name
        for layer in model.layers
        if layer.name.startswith("conv") and getattr(layer, "strides", (1, 1)) != (1, 1)
    }
    # The shortcut of a strided block has the stride as well.
    expected = {f"conv{stage}_block1_{i}_conv" for stage in stages for i in ("0", strided)}
    assert found == expected | {"conv1_conv"}


@pytest.mark.parametrize(
    ("options", "layer", "reach"),
    [
        ({}, "conv1", 4),
        ({"stem": "deep_64"}, "conv1_1", 2),
        ({"bottleneck": True, "stride_on": "3x3"}, "conv3_block1_2", 2),
        ({}, "conv3_block1_1", 2),
    ],
)
def test_strided_convolutions_are_padded_symmetrically(options, layer, reach):
    # The first output sees pixels 0 to k // 2. With "same" padding it would see one more.
    model = tiny(**options)
    padded = keras.Model(
        model.get_layer(f"{layer}_pad").input, model.get_layer(f"{layer}_conv").output
    )
    x = tf.ones((1, 8, 8, padded.input_shape[-1]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        first = tf.reduce_sum(padded(x)[:, 0, 0])
    rows, columns = np.nonzero(np.abs(tape.gradient(first, x)).sum((0, -1)))
    assert set(rows) == set(columns) == set(range(reach))


def test_width_multiplier_scales_every_width():
    names = ("conv1_conv", "conv2_block1_1_conv", "conv5_block1_2_conv")
    for multiplier, widths in ((0.25, (16, 16, 128)), (1 / 128, (1, 1, 4))):
        model = tiny(width_multiplier=multiplier)
        assert tuple(model.get_layer(name).filters for name in names) == widths


def test_any_number_of_input_channels():
    assert tiny(input_shape=(None, None, 4))(np.zeros((1, 9, 9, 4)))["stage4"].shape[-1] == 128


@pytest.fixture(scope="module")
def keras_resnet50(tmp_path_factory):
    """ResNet-50 of Keras Applications with random weights, features of an image, and its file."""
    model = keras.applications.ResNet50(include_top=False, weights=None)
    draw = np.random.default_rng(1)
    for weight in model.weights:
        if len(weight.shape) == 4:
            value = draw.normal(0, np.prod(weight.shape[:3]) ** -0.5, weight.shape)
        elif weight.path.endswith(("gamma", "variance")):
            value = draw.uniform(0.5, 1.5, weight.shape)
        else:
            value = draw.normal(0, 0.3, weight.shape)
        weight.assign(value)
    path = tmp_path_factory.mktemp("weights") / "resnet50.weights.h5"
    model.save_weights(path)
    images = draw.normal(size=(1, 64, 96, 3)).astype("float32")
    ends = keras.Model(model.input, [model.get_layer(name).output for name in ENDS])
    features = dict(zip(STAGES, (np.asarray(x) for x in ends(images)), strict=True))
    return path, images, features


@pytest.fixture
def offline(monkeypatch):
    def no_connection(*args):
        raise AssertionError("tried to download")

    monkeypatch.setattr(socket.socket, "connect", no_connection)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("output_stride", "equal"), [(32, STAGES), (8, STAGES[:2])])
def test_keras_applications_weights_reproduce_its_features(keras_resnet50, output_stride, equal):
    path, images, features = keras_resnet50
    outputs = ResNet50(output_stride=output_stride, weights=str(path))(images)
    for stage in equal:
        assert relative_error(outputs[stage], features[stage]) < 1e-5, stage


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_weights_for_rgb_images_fit_gray_images(keras_resnet50):
    path, images, _ = keras_resnet50
    options = {"weights": str(path), "preprocessing": "caffe", "mean": 110, "std": 60}
    gray, rgb = (ResNet50((None, None, n), **options) for n in (1, 3))
    image = (128 + 50 * images[..., :1]).clip(0, 255)
    for stage, features in rgb(image.repeat(3, -1)).items():
        # The standard deviations of red, green and blue on ImageNet differ by 2 %.
        assert relative_error(gray(image)[stage], features) < 0.1, stage


def test_truncated_weights_file_raises(keras_resnet50, tmp_path):
    path = tmp_path / "truncated.weights.h5"
    path.write_bytes(keras_resnet50[0].read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"Could not read ResNet50.*truncated\.weights\.h5"):
        ResNet50(weights=str(path))


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_network_raise(tmp_path):
    path = tmp_path / "other.weights.h5"
    tiny().save_weights(path)
    with pytest.raises(ValueError, match=r"Could not read ResNet50.*other\.weights\.h5"):
        ResNet50(weights=str(path))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("build", "options"),
    [
        (ResNet18, {}),
        (ResNet34, {}),
        (ResNet50, {"stem": "deep_32"}),
        (ResNet50, {"stem": "deep_64"}),
        (ResNet50, {"stride_on": "3x3"}),
        (ResNet50, {"width_multiplier": 0.5}),
        (ResNet50, {"blocks": (3, 4, 6, 4)}),
    ],
)
def test_imagenet_weights_for_other_structures_raise(build, options):
    with pytest.raises(ValueError, match=r"ResNet-50, 101 and 152.*Received: weights='imagenet'"):
        build(weights="imagenet", **options)


def test_missing_weights_file_raises():
    with pytest.raises(ValueError, match=r"None .*'imagenet'.*Received: weights='none.weights.h5'"):
        ResNet50(weights="none.weights.h5")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("blocks", (1, 1, 1)),
        ("blocks", (1, 1, 1, 0)),
        ("blocks", (1, 1, 1, 1.5)),
        ("output_stride", 4),
        ("stem", "deep"),
        ("stride_on", "2x2"),
        ("second_dilation", "both"),
        ("width_multiplier", 0),
        ("width_multiplier", -1),
    ],
)
def test_invalid_argument_raises(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be") as error:
        tiny(**{argument: value})
    assert f"Received: {argument}={value!r}" in str(error.value)


@pytest.mark.parametrize(("stride_on", "mode"), [("1x1", "caffe"), ("3x3", "torch")])
def test_preprocessing_follows_stride_on(stride_on, mode):
    assert preprocessing_of(stride_on) == mode
