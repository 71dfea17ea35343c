"""The head of FCN: convolutions and a classifier."""

import keras
import numpy as np
import pytest

from keras_encnet import FCN
from tests.fixtures import normalized_image
from tests.models.heads.reference import conv_norm_relu


def test_head_has_a_quarter_of_the_channels(tiny_backbone):
    backbone = tiny_backbone(widths=(4, 4, 8, 20))
    model = FCN(backbone, classes=7, auxiliary="fcn")

    def head(channels):
        inner = channels // 4
        return 9 * channels * inner + 2 * inner + inner * 7 + 7

    parameters = sum(
        np.prod(weight.shape)
        for name in model.head_layers
        for weight in model.get_layer(name).trainable_weights
    )
    assert parameters == head(20) + head(8)


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ({}, "segmentation_relu"),
        ({"concat_input": True}, "segmentation_3_relu"),
        ({"variant": "mmsegmentation"}, "segmentation_3_relu"),
    ],
    ids=str,
)
def test_three_convolutions_see_the_features_twice(tiny_backbone, randomize, options, last):
    model = randomize(FCN(tiny_backbone(), 3, include_preprocessing=False, **options))
    inner = {name: model.get_layer(name).output for name in ("stage4_conv", last)}
    outputs = keras.Model(model.input, inner)(normalized_image(2, 41, 66))
    features = np.asarray(outputs["stage4_conv"], "float64")
    x = conv_norm_relu(model, features, "segmentation")
    if options:
        x = conv_norm_relu(model, x, "segmentation_2")
        x = conv_norm_relu(model, np.concatenate([features, x], -1), "segmentation_3")
    np.testing.assert_allclose(outputs[last], x, atol=1e-5)
