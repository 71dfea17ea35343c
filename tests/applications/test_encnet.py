"""EncNet50 and EncNet101: the backbone, its weights, and arguments."""

import numpy as np
import pytest

from keras_encnet import EncNet, EncNet50, EncNet101
from tests.fixtures import normalized_image


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
def test_variant_selects_the_backbone(
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
            "preprocessing": preprocessing,
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


def test_backbone_weights_are_not_loaded_if_weights_are_given(
    recorded_backbone, tiny_backbone, randomize, tmp_path
):
    full = randomize(EncNet(tiny_backbone(), 5, num_codewords=4, channels=8, preprocessing="caffe"))
    path = str(tmp_path / "encnet.weights.h5")
    full.save_weights(path)
    model = EncNet50(5, weights=path, num_codewords=4, channels=8)
    assert recorded_backbone[0]["weights"] is None
    x = normalized_image(1, 9, 9)
    np.testing.assert_array_equal(model(x)["segmentation"], full(x)["segmentation"])


@pytest.mark.parametrize("variant", ["official", "mmsegmentation"])
def test_imagenet_weights_raise_for_other_backbones(variant):
    with pytest.raises(ValueError, match="`stem='plain'`, `stride_on='1x1'`"):
        EncNet50(variant=variant)
