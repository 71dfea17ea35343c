"""Operations are counted from the graph of a network; contestants run in processes of their own."""

import sys

import keras
import pytest

from benchmarks.measuring import flops_of, output_of
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


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/no/such/program", "--option"], "No such file or directory.*/no/such/program --option"),
        ([sys.executable, "-c", "raise ValueError('the reason')"], "ValueError: the reason"),
    ],
)
def test_a_contestant_that_fails_is_named_with_its_reason(command, message):
    with pytest.raises(SystemExit, match=message):
        output_of(command)
