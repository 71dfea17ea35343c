"""Operations of a network are counted from its graph."""

import keras
import pytest

from benchmarks.measuring import flops_of
from keras_encnet import SegmentationModel
from keras_encnet.layers import ImageNormalization


def network(layer):
    images = keras.Input((None, None, 3), name="images")
    return SegmentationModel(images, {"segmentation": layer(ImageNormalization("none")(images))})


@pytest.mark.parametrize(
    ("layer", "multiplications"),
    [
        (keras.layers.Conv2D(40, 5, padding="same", use_bias=False), 5 * 5 * 3 * 40),
        (keras.layers.Conv2D(40, 5, 2, padding="same", use_bias=False), 5 * 5 * 3 * 40 / 4),
        (keras.layers.DepthwiseConv2D(7, padding="same", use_bias=False), 7 * 7 * 3),
    ],
    ids=["convolution", "strided", "depthwise"],
)
def test_operations_of_a_convolution(layer, multiplications):
    # The normalization takes two operations per pixel and channel.
    expected = 32 * 48 * (2 * multiplications + 2 * 3)
    assert flops_of(network(layer), (32, 48)) == pytest.approx(expected, rel=0.02)
