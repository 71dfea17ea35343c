"""FCN50 and FCN101: the backbone, its weights, and arguments."""

import numpy as np
import pytest

from keras_encnet import FCN, FCN50, FCN101
from tests.fixtures import normalized_image


@pytest.mark.parametrize(("build", "depth"), [(FCN50, 50), (FCN101, 101)])
def test_backbone_accepts_imagenet_weights(recorded_backbone, build, depth):
    model = build(5)
    assert recorded_backbone == [
        {
            "depth": depth,
            "input_shape": (None, None, 3),
            "output_stride": 8,
            "stem": "plain",
            "stride_on": "1x1",
            "weights": "imagenet",
            "preprocessing": "caffe",
        }
    ]
    assert (model.name, model.preprocessing) == (f"fcn{depth}", "caffe")
    assert build(5, stem="deep_64", stride_on="3x3").preprocessing == "torch"


def test_backbone_weights_are_not_loaded_if_weights_are_given(
    recorded_backbone, tiny_backbone, randomize, tmp_path
):
    full = randomize(FCN(tiny_backbone(), 5, auxiliary="fcn", preprocessing="caffe"))
    path = str(tmp_path / "fcn.weights.h5")
    full.save_weights(path)
    model = FCN50(5, weights=path, auxiliary="fcn")
    assert recorded_backbone[0]["weights"] is None
    x = normalized_image(1, 9, 9)
    for name, output in model(x).items():
        np.testing.assert_array_equal(output, full(x)[name])
