"""Tests that on scenes FCN cannot see the context and EncNet can."""

import keras
import numpy as np
import pytest

from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.tasks import segmentation


def _pair_of_scenes():
    """Returns two images that differ in the band of the scene only, and where their discs are."""
    painted = [scenes.draw_scene(np.random.default_rng(3), scene) for scene in ("street", "sea")]
    discs = np.isin(painted[0][1], [scenes.CLASSES.index(name) for name in scenes.DISCS])
    assert discs.any()
    images = np.stack([image for image, _ in painted])
    return images, discs


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
