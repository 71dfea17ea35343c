"""Number of steps and warm-up of a training run, for any number of images."""

import pytest

from training.configs.folder import FolderEncNet50, FolderFCN50
from training.configs.scenes import ScenesFCN
from training.run import fit


# 335 images are those of MSRC-21, 367 those of CamVid.
@pytest.mark.parametrize(
    ("images", "steps", "warmup"),
    [(1, 240, 40), (10, 240, 40), (80, 240, 40), (335, 246, 40), (367, 270, 40), (5000, 3750, 40)],
)
@pytest.mark.parametrize("recipe", [FolderEncNet50, FolderFCN50])
def test_steps_follow_from_the_number_of_images(recipe, images, steps, warmup):
    config = recipe(data="folder")
    assert config.steps_per_epoch(images) * config.epochs == steps
    assert config.warmup(steps) == warmup


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
@pytest.mark.parametrize("steps", [1, 7, 40, 10_000])
def test_automatic_warmup_fits_into_a_training_of_any_length(schedule, steps):
    config = ScenesFCN(warmup_steps=None, schedule=schedule)
    warmup = config.warmup(steps)
    assert 0 <= warmup <= steps / 6
    rate = fit.schedule(config, steps)
    rates = [float(rate(step)) for step in range(min(steps, 50))]
    assert rates[:warmup] == sorted(rates[:warmup])
    assert max(rates) > 0


@pytest.mark.parametrize("schedule", ["poly", "cosine"])
def test_warmup_as_long_as_the_training_raises(schedule):
    config = ScenesFCN(warmup_steps=40, schedule=schedule)
    with pytest.raises(ValueError, match=r"`--warmup-steps None`.*: warmup_steps=40 of 40 steps"):
        fit.schedule(config, 40)


def test_plan_states_the_steps_and_warns_if_there_is_little_to_learn_from():
    config = FolderEncNet50(data="folder")
    assert config.describe_steps(335) == (
        "335 images in batches of 8; steps: 41 per epoch, 246 in all, 40 of them warm-up."
    )
    few = FolderEncNet50(data="folder", epochs=1).describe_steps(10)
    assert "steps: 40 per epoch, 40 in all, 6 of them warm-up" in few
    assert "warning: 40 steps hardly train a new head" in few
    assert "warning: with 10 images" in few


@pytest.mark.parametrize(("warmup", "warns"), [(40, True), (31, True), (30, False), (None, False)])
def test_plan_warns_if_warmup_is_most_of_the_training(warmup, warns):
    config = FolderEncNet50(data="folder", warmup_steps=warmup, min_epoch_steps=10)
    assert ("the warm-up takes most of the steps" in config.describe_steps(80)) == warns
