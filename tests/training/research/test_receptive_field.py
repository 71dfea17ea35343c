"""Tests of `training.research.receptive_field`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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


def test_receptive_field_of_a_neck_includes_resizing():
    backbone = keras_encnet.backbones.ResNet(
        (1, 1, 1, 1), bottleneck=False, width_multiplier=0.25, output_stride=32
    )
    model = keras_encnet.FCN(backbone, classes=2, neck="jpu", neck_width=2)
    # Positive weights, so that no path cancels another and no ReLU outputs zero.
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, 0.1))
    field = receptive_field(model, "segmentation_logits")
    logits = keras.Model(model.input, model.get_layer("segmentation_logits").output)
    image = tf.fill((1, 32, 1024, 3), 200.0)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(image)
        value = logits(image)[0, 2, 64, 0]
    (columns,) = np.nonzero(np.abs(tape.gradient(value, image)).sum((0, 1, 3)))
    # Fewer where the nearest pixels of a coarse stage are not the farthest ones.
    assert field - 32 <= columns[-1] - columns[0] + 1 <= field
