"""What the builders of EncNet take, refuse, and keep when saved."""

import itertools

import keras
import numpy as np
import pytest

from keras_encnet import FCN50, EncNet, EncNet50, EncNet101, SegmentationModel
from keras_encnet.backbones import ResNet
from tests.fixtures import VARIANTS, normalized_image


@pytest.mark.parametrize(
    "options",
    [{"classes": classes} for classes in (1, 0, 2.5, True)]
    + [{"num_codewords": num_codewords} for num_codewords in (-1, 1.5, True)]
    + [{"variant": "torch"}, {"codeword_pooling": "max"}, {"gating": "relu"}, {"auxiliary": "aux"}],
)
def test_a_wrong_argument_is_named_with_its_value(tiny, options):
    ((argument, value),) = options.items()
    with pytest.raises(ValueError, match=f"Received: {argument}={value!r}"):
        tiny(**options)


@pytest.mark.parametrize("build", [EncNet50, EncNet101])
def test_a_misspelt_option_is_refused(recorded_backbone, build):
    with pytest.raises(TypeError, match="num_codeword"):
        build(5, num_codeword=4)


@pytest.mark.parametrize("stages", [None, ("stage4",), ("stage3",)])
def test_a_backbone_without_the_stages_is_refused(tiny_backbone, stages):
    backbone = tiny_backbone()
    outputs = {name: backbone.output[name] for name in stages} if stages else backbone.outputs[-1]
    with pytest.raises(ValueError, match="keys `stage1` to `stage4`.*Received: output="):
        EncNet(keras.Model(backbone.input, outputs))


@pytest.mark.parametrize(("build", "depth"), [(EncNet50, 50), (EncNet101, 101)])
@pytest.mark.parametrize(
    ("variant", "stem", "stride_on", "preprocessing"),
    [
        ("keras_encnet", "plain", "1x1", "caffe"),
        ("paper", "plain", "1x1", "caffe"),
        ("official", "deep_64", "3x3", "torch"),
        ("mmsegmentation", "deep_32", "3x3", "torch"),
    ],
)
def test_the_backbone_is_that_of_the_variant(
    recorded_backbone, build, depth, variant, stem, stride_on, preprocessing
):
    model = build(5, variant=variant, num_codewords=4, channels=8)
    assert recorded_backbone == [
        {
            "depth": depth,
            "input_shape": (None, None, 3),
            "output_stride": 8,
            "stem": stem,
            "stride_on": stride_on,
            "weights": "imagenet",
        }
    ]
    assert model.preprocessing == preprocessing
    assert model.name == f"encnet{depth}"


def test_options_of_the_backbone_override_the_variant(recorded_backbone):
    model = EncNet50(
        5, (64, 64, 3), None, None, output_stride=16, stem="deep_32", stride_on="3x3", channels=8
    )
    (call,) = recorded_backbone
    assert (call["input_shape"], call["output_stride"]) == ((64, 64, 3), 16)
    assert (call["stem"], call["stride_on"], call["weights"]) == ("deep_32", "3x3", None)
    assert model.preprocessing == "torch"


def test_weights_of_the_model_spare_those_of_the_backbone(
    recorded_backbone, tiny, randomize, tmp_path
):
    full = randomize(tiny())
    path = str(tmp_path / "encnet.weights.h5")
    full.save_weights(path)
    model = EncNet50(5, weights=path, num_codewords=4, channels=8)
    assert recorded_backbone[0]["weights"] is None
    x = normalized_image(1, 9, 9)
    np.testing.assert_array_equal(model(x)["segmentation"], full(x)["segmentation"])


@pytest.mark.parametrize("variant", ["official", "mmsegmentation"])
def test_imagenet_weights_are_refused_where_they_do_not_fit(variant):
    with pytest.raises(ValueError, match="`stem='plain'`, `stride_on='1x1'`"):
        EncNet50(variant=variant)


@pytest.mark.parametrize(
    ("variant", "options"),
    [*itertools.product(VARIANTS, [{}]), ("paper", {"num_codewords": 0, "lateral": True})],
)
def test_a_saved_model_answers_as_before(tiny, randomize, tmp_path, variant, options):
    model = randomize(tiny(variant, **options))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is SegmentationModel
    assert loaded.name == model.name
    x = normalized_image(2, 17, 23)
    expected = model(x)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, expected[name])


def test_a_model_saved_under_mixed_precision_answers_as_before(tiny, randomize, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = randomize(tiny())
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = normalized_image(2, 17, 23)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, model(x)[name])


def test_laterals_of_other_sizes_are_refused_when_built_not_when_run():
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.25, output_stride=16)
    with pytest.raises(ValueError, match="output_stride=8"):
        EncNet(backbone, classes=3, channels=8, lateral=True)


@pytest.mark.parametrize("build", [EncNet50, FCN50])
def test_what_is_wrong_is_said_before_anything_is_downloaded(build, monkeypatch):
    def download(**kwargs):
        raise AssertionError("built the backbone first")

    monkeypatch.setattr("keras_encnet.backbones.ResNet50", download)
    with pytest.raises(TypeError, match="droput"):
        build(droput=0.5)
    with pytest.raises(ValueError, match="classes=1"):
        build(classes=1)
