"""The command of training, and what it refuses before the first step."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import keras_encnet
from tests.fixtures import SMALL_ENCNET, SMALL_FCN
from training import cli, train
from training.configs import RECIPES, SegmentationConfig
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.run import fit
from training.tasks import segmentation


def _spoil_ids(root):
    mask = np.array(Image.open(root / "labels" / "train_00002.png"))
    mask[0, 0] = 77
    Image.fromarray(mask).save(root / "labels" / "train_00002.png")


def _spoil_missing(root):
    (root / "labels" / "train_00002.png").unlink()


def _spoil_truncated(root):
    path = root / "images" / "train_00002.png"
    Image.open(path).save(path.with_suffix(".jpg"))
    path.unlink()
    whole = path.with_suffix(".jpg").read_bytes()
    path.with_suffix(".jpg").write_bytes(whole[: len(whole) // 2])


def _spoil_size(root):
    Image.new("L", (5, 5)).save(root / "labels" / "train_00002.png")


def _spoil_all(root):
    for path in root.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_spoil_ids, "77"),
        (_spoil_missing, "train_00002"),
        (_spoil_truncated, "train_00002"),
        (_spoil_size, "train_00002"),
        (_spoil_all, "classes.txt"),
    ],
)
def test_bad_data_is_named_before_the_first_step(spoil, message, tmp_path):
    root = scenes.write(tmp_path / "scenes", train=4, val=1, test=1)
    spoil(root)
    with pytest.raises((ValueError, OSError), match=message):
        fit.train(ScenesFCN(data=str(root), **SMALL_FCN), tmp_path / "run")
    assert not (tmp_path / "run").exists()  # so the mended data can be tried under the same name


@pytest.mark.parametrize(
    "option", [{"crop_size": (0, 5)}, {"scale": (2.0, 0.5)}, {"class_weights": (1.0, 2.0)}]
)
def test_a_wrong_option_leaves_no_run_behind(option, tmp_path):
    data = scenes.write(tmp_path / "scenes", train=8, val=1, test=1)
    with pytest.raises(ValueError, match=next(iter(option))):
        fit.train(ScenesFCN(data=str(data), **SMALL_FCN, **option), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bad_images_are_left_out_where_asked(tmp_path, capsys):
    root = scenes.write(tmp_path / "scenes", train=5, val=1, test=1)
    _spoil_ids(root)
    config = ScenesFCN(data=str(root), skip_bad=True, **SMALL_FCN)
    split, _ = segmentation.open_checked(config, "train")
    assert len(split) == 4
    assert "train_00002" in capsys.readouterr().err


def test_every_recipe_builds_its_network():
    for recipe in RECIPES.values():
        if not issubclass(recipe, SegmentationConfig):
            continue  # tests/training/test_cifar_runs.py
        required = [f.name for f in dataclasses.fields(recipe) if f.default is dataclasses.MISSING]
        options = dict.fromkeys(required, "x") | {"backbone_weights": None, "blocks": (1, 1, 1, 1)}
        config = recipe(**options)
        model = segmentation.build_model(config, ["a", "b", "c"])
        assert model.output["segmentation"].shape[-1] == 3


def test_the_heads_rate_is_multiplied_and_the_backbones_is_not():
    config = ScenesEncNet(head_multiplier=10.0, **SMALL_ENCNET)
    model = segmentation.build_model(config, ["a", "b"])
    multipliers = dict.fromkeys(model.head_layers, config.head_multiplier)
    optimizer = fit.optimizer(config, steps=10, multipliers=multipliers)
    assert "conv1_conv" not in optimizer.multipliers
    assert optimizer.multipliers["segmentation_logits"] == 10.0
    assert optimizer.multipliers["context_encoding"] == 10.0


def test_a_misspelt_option_is_refused_with_what_was_meant(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["scenes_fcn", "--epocs", "3"])
    assert stop.value.code == 2
    assert "--epochs" in capsys.readouterr().err


def test_options_and_names_arrive():
    name, config = cli.choose(RECIPES, ["scenes_encnet", "--epochs", "3", "--gating", "residual"])
    assert (name, config.epochs, config.gating) == ("scenes_encnet", 3, "residual")


def test_a_float_mask_or_a_model_of_other_classes_is_refused_by_fit():
    model = segmentation.build_model(ScenesFCN(**SMALL_FCN), ["a", "b"])
    model.compile("sgd", **keras_encnet.objectives(model))
    images = np.zeros((2, 16, 16, 3), "float32")
    with pytest.raises(ValueError, match="integers"):
        model.fit(images, np.zeros((2, 16, 16)), verbose=0)
    with pytest.raises(ValueError, match="class ids from 0 to 1"):
        model.fit(images, np.full((2, 16, 16), 2), verbose=0)


def test_the_help_lists_every_recipe_in_a_sentence_and_each_tells_the_rest(capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--help"])
    assert stop.value.code == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in RECIPES)
    assert "0.001" not in listed
    with pytest.raises(SystemExit):
        train.main(["folder_encnet50", "--help"])
    assert "frozen batch normalization, small crops" in " ".join(capsys.readouterr().out.split())
