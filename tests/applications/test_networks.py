"""The named networks: the backbone, its weights, and arguments."""

import pytest

import keras_encnet
from keras_encnet import EncNet50, EncNet101


@pytest.mark.parametrize(("build", "depth"), [(EncNet50, 50), (EncNet101, 101)])
@pytest.mark.parametrize(
    ("variant", "stem", "stride_on", "second_dilation", "preprocessing"),
    [
        ("keras_encnet", "plain", "1x1", "block", "caffe"),
        ("paper", "plain", "1x1", "block", "caffe"),
        ("official", "deep_64", "3x3", "stage", "torch"),
        ("mmsegmentation", "deep_32", "3x3", "none", "torch"),
    ],
)
def test_variant_selects_the_backbone(
    recorded_backbone, build, depth, variant, stem, stride_on, second_dilation, preprocessing
):
    model = build(5, variant=variant, num_codewords=4, channels=8)
    assert recorded_backbone == [
        {
            "depth": depth,
            "input_shape": (None, None, 3),
            "output_stride": 8,
            "stem": stem,
            "stride_on": stride_on,
            "second_dilation": second_dilation,
            "dilate_strided": variant == "mmsegmentation",
            "weights": "imagenet",
            "preprocessing": preprocessing,
            "mean": None,
            "std": None,
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


@pytest.mark.parametrize("variant", ["official", "mmsegmentation"])
def test_imagenet_weights_raise_for_other_backbones(variant):
    with pytest.raises(ValueError, match="`stem='plain'`, `stride_on='1x1'`"):
        EncNet50(variant=variant)


@pytest.mark.parametrize(
    ("network", "depth", "layer"),
    [
        (network + depth, int(depth), layer)
        for network, layer in {
            "FCN": "segmentation_conv",
            "PSPNet": "pyramid_6_conv",
            "DeepLabV3_": "aspp_projection_conv",
        }.items()
        for depth in ("18", "50", "101")
    ],
)
def test_network_has_its_head_on_the_backbone_of_encnet(recorded_backbone, network, depth, layer):
    build = getattr(keras_encnet, network)
    model = build(5)
    (call,) = recorded_backbone
    assert (call["depth"], call["stem"], call["stride_on"]) == (depth, "plain", "1x1")
    assert call["weights"] == (None if depth == 18 else "imagenet")
    assert (model.name, model.preprocessing, model.classes) == (network.lower(), "caffe", 5)
    assert model.get_layer(layer)
    assert build(5, stem="deep_64", stride_on="3x3").preprocessing == "torch"
    assert set(build(5, auxiliary="fcn", outputs="segmentation").output) == {"segmentation"}
