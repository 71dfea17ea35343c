"""Tests of `training.research.receptive_field`."""

import keras
import numpy as np
import pytest

import keras_encnet
from training.datasets import scenes
from training.research.receptive_field import receptive_field


def test_receptive_field_equals_the_columns_that_change_a_logit():
    backbone = keras_encnet.backbones.ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.125)
    model = keras_encnet.FCN(backbone, classes=2)
    # Positive weights, so that no path cancels another and no ReLU outputs zero.
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, 0.1))
    logits = keras.Model(model.input, model.get_layer("segmentation_logits").output)
    # One image per column, which is bright in that column only, and a dark one.
    images = np.zeros((257, 32, 256, 3), "float32")
    images[range(256), :, range(256)] = 1e3
    *found, dark = np.asarray(logits(images))[:, 2, 16, 0]
    (columns,) = np.nonzero(np.array(found) != dark)
    assert columns[-1] - columns[0] + 1 == receptive_field(model, "segmentation_logits")


@pytest.mark.parametrize(("blocks", "field"), [((1, 1, 1, 1), 163), ((2, 2, 2, 2), 403)])
def test_receptive_field_of_small_dilated_resnets(blocks, field):
    backbone = keras_encnet.backbones.ResNet(blocks, bottleneck=False, width_multiplier=0.125)
    assert receptive_field(keras_encnet.FCN(backbone), "segmentation_logits") == field
    assert blocks != (1, 1, 1, 1) or field / 2 + 8 <= scenes.CLEARANCE
