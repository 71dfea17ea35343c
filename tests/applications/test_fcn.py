"""FCN50 and FCN101: the backbone, its weights, and arguments."""

import pytest

from keras_encnet import FCN50, FCN101


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
