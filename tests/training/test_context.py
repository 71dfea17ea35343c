"""Tests that on scenes FCN cannot see the context and EncNet can."""

import keras
import numpy as np
import pytest

import keras_encnet
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.research.receptive_field import receptive_field
from training.tasks import segmentation


def _pair_of_scenes():
    """Returns two images that differ in the band of the scene only, and where their discs are."""
    painted = [scenes.draw_scene(np.random.default_rng(3), scene) for scene in ("street", "sea")]
    discs = np.isin(painted[0][1], [scenes.CLASSES.index(name) for name in scenes.DISCS])
    assert discs.any()
    images = np.stack([image for image, _ in painted])
    return keras_encnet.preprocess_input(images), discs


@pytest.mark.parametrize(("recipe", "blind"), [(ScenesFCN, True), (ScenesEncNet, False)])
def test_logits_at_discs_depend_on_the_scene_for_encnet_only(recipe, blind):
    keras.utils.set_random_seed(0)
    images, discs = _pair_of_scenes()
    model = segmentation.build_model(recipe(), scenes.CLASSES)
    if not blind:  # the gates have a zero kernel initially, which ignores the code
        kernel = model.get_layer("context_attention").kernel
        kernel.assign(keras.random.normal(kernel.shape))
    logits = np.asarray(model(images, training=False)["segmentation"])
    change = np.abs(logits[0] - logits[1])[discs].max()
    assert (change == 0) == blind


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
