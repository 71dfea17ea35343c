"""Losses and class weights of a recipe: computed from the training split, recorded, and used."""

import json

import numpy as np
import pytest

import keras_encnet
from keras_encnet.losses import balanced_class_weights, median_frequency_class_weights
from tests.fixtures import SMALL_ENCNET
from tests.training.folders import write_split
from training.cli import parse
from training.configs.scenes import ScenesEncNet
from training.configs.segmentation import SegmentationConfig
from training.run import fit, run_folder
from training.tasks.segmentation import Segmentation

SMALL = {**SMALL_ENCNET, "batch_size": 2}
MASKS = [
    np.array([[0, 0, 0, 1], [0, 0, 0, 255]], "uint8"),
    np.array([[0, 2, 2, 2], [1, 1, 255, 255]], "uint8"),
    np.array([[0, 0, 0, 0], [0, 0, 0, 0]], "uint8"),
]


@pytest.fixture
def data(tmp_path):
    for split in ("train", "val"):
        samples = {f"{split}_{i}": (None, mask) for i, mask in enumerate(MASKS)}
        write_split(tmp_path / "data", samples, name=split)
    return str(tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("balanced", balanced_class_weights([15, 3, 3])),
        ("median_frequency", median_frequency_class_weights([15, 3, 3], [21, 13, 6])),
    ],
)
def test_class_weights_are_computed_from_the_training_split(
    name, expected, data, tiny_backbone, tmp_path, capsys
):
    config = ScenesEncNet(data=data, class_weights=name, pixel_loss="cross_entropy+dice", **SMALL)
    task = Segmentation(config)
    np.testing.assert_allclose(task.class_weights, expected)
    losses = task.objectives(keras_encnet.EncNet(tiny_backbone(), 3, channels=8))["loss"]
    for part in losses["segmentation"].losses:
        np.testing.assert_allclose(part.class_weights, expected)
    assert losses["presence"].class_weights is None
    computed = task.computed_options()
    run_folder.create(tmp_path / "run", config, {}, computed)
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["class_weights"] == name
    assert list(recorded["computed_class_weights"]) == ["sky", "road", "car"]
    np.testing.assert_allclose([*recorded["computed_class_weights"].values()], expected)
    run_folder.check_free(tmp_path / "run", config)  # the same options resume the run
    fit.print_options(computed)
    assert f"computed class weights: sky {expected[0]:.4g}, road" in capsys.readouterr().out


def test_given_class_weights_apply_to_all_losses(data, tiny_backbone):
    config = ScenesEncNet(data=data, class_weights=(1.0, 2.0, 3.0), **SMALL)
    task = Segmentation(config)
    assert task.computed_options() == {}
    losses = task.objectives(keras_encnet.EncNet(tiny_backbone(), 3, channels=8))["loss"]
    assert all(loss.class_weights == [1.0, 2.0, 3.0] for loss in losses.values())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"class_weights": None, "pixel_loss": "cross_entropy"}),
        (["--class-weights", "balanced"], {"class_weights": "balanced"}),
        (["--class-weights", "0.5", "2"], {"class_weights": (0.5, 2.0)}),
        (
            ["--pixel-loss", "cross_entropy+dice", "--label-smoothing", "0.1"],
            {"pixel_loss": "cross_entropy+dice", "label_smoothing": 0.1},
        ),
    ],
)
def test_command_line_takes_names_of_losses_and_weights(arguments, expected):
    config = parse(SegmentationConfig, arguments)
    config.check()
    assert vars(config).items() >= expected.items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixel_loss": "dise"}, "one of cross_entropy, dice.*pixel_loss='dise'"),
        ({"pixel_loss": "dice", "label_smoothing": 0.1}, "applies to the loss 'cross_entropy'"),
        ({"label_smoothing": 2.0}, "--label-smoothing.*from 0 to 1"),
    ],
)
def test_wrong_losses_raise_before_the_data_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        SegmentationConfig(**options).check()
