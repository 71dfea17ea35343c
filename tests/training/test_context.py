"""What scenes prove: FCN can't see the telling part, EncNet can."""

import keras
import numpy as np
import pytest

import keras_encnet
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.research.receptive_field import receptive_field
from training.tasks import segmentation


def _pair_of_scenes():
    """Two images that differ in the telling band alone, and where their discs are."""
    drawn = [scenes.draw_scene(np.random.default_rng(3), scene) for scene in ("street", "sea")]
    discs = np.isin(drawn[0][1], [scenes.CLASSES.index(name) for name in scenes.DISCS])
    assert discs.any()
    images = np.stack([image for image, _ in drawn])
    return keras_encnet.preprocess_input(images), discs


@pytest.mark.parametrize(("recipe", "blind"), [(ScenesFCN, True), (ScenesEncNet, False)])
def test_only_the_fcn_is_blind_to_the_scene_at_its_discs(recipe, blind):
    keras.utils.set_random_seed(0)
    images, discs = _pair_of_scenes()
    model = segmentation.build_model(recipe(), scenes.CLASSES)
    if not blind:  # gates start from a kernel of zero, as if there were no code
        kernel = model.get_layer("context_attention").kernel
        kernel.assign(keras.random.normal(kernel.shape))
    logits = np.asarray(model(images, training=False)["segmentation"])
    change = np.abs(logits[0] - logits[1])[discs].max()
    assert (change == 0) == blind


def test_the_receptive_field_is_what_gradients_reach():
    backbone = keras_encnet.backbones.ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.125)
    model = keras_encnet.FCN(backbone, classes=2)
    # Positive weights, so that no path cancels another and no ReLU closes one.
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, 0.1))
    sharp = keras.Model(model.input, model.get_layer("segmentation_logits").output)
    quiet = np.zeros((1, 256, 256, 3), "float32")
    base = np.asarray(sharp(quiet))[0, 16, 16, 0]

    def seen(column):
        image = quiet.copy()
        image[:, :, column] = 1e3
        return np.asarray(sharp(image))[0, 16, 16, 0] != base

    columns = [column for column in range(256) if seen(column)]
    assert columns[-1] - columns[0] + 1 == receptive_field(model, "segmentation_logits")


@pytest.mark.parametrize(("blocks", "field"), [((1, 1, 1, 1), 163), ((2, 2, 2, 2), 403)])
def test_the_receptive_field_of_small_dilated_resnets(blocks, field):
    backbone = keras_encnet.backbones.ResNet(blocks, bottleneck=False, width_multiplier=0.125)
    assert receptive_field(keras_encnet.FCN(backbone), "segmentation_logits") == field
    assert blocks != (1, 1, 1, 1) or field / 2 + 8 <= scenes.CLEARANCE
