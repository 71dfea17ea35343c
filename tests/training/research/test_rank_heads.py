"""Tests of `training.research.rank_heads`."""

import dataclasses
import shutil

import numpy as np
import pytest

from keras_encnet.utils.files import read_json
from training.configs.scenes import ScenesEncNet
from training.datasets import scenes
from training.research import backbone_features, experiments, rank_heads
from training.tasks.segmentation import Segmentation

HEADS = ("FCN", "official code", "the recipe")


@dataclasses.dataclass(frozen=True)
class Small(ScenesEncNet):
    """A recipe that trains within seconds."""

    width_multiplier: float = 0.125
    channels: int = 8
    num_codewords: int = 4
    batch_size: int = 2
    warmup_steps: int = 0
    epochs: int = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=4, val=1, test=2)


@pytest.fixture(scope="module")
def ranked(data, eager, tmp_path_factory):
    output = tmp_path_factory.mktemp("rank_heads")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(experiments.RECIPES, "scenes_encnet", Small)
        monkeypatch.setattr(rank_heads, "HEADS", {name: rank_heads.HEADS[name] for name in HEADS})
        rank_heads.main(str(data), "scenes_encnet", output)
        files = {path: path.read_bytes() for path in output.glob("*.json")}
        rank_heads.main(str(data), "scenes_encnet", output)
        assert files == {path: path.read_bytes() for path in output.glob("*.json")}
    return output


@pytest.mark.slow
def test_each_head_has_scores_and_diagnostics(ranked):
    results = {r["choice"]: r for r in map(read_json, ranked.glob("*-seed0.json"))}
    assert set(results) == set(HEADS)
    for name, result in results.items():
        assert 0 <= result["scores"]["mean_iou"] <= 1
        assert len(result["val_mean_iou"]) == 2
        assert ("presence" in result["scores"]) == (name != "FCN")
        steps = [values["step"] for values in result["diagnostics"]]
        assert steps == ([] if name == "FCN" else [2, 4])
    lines = (ranked / "table.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(HEADS)
    assert (ranked / "diagnostics.png").stat().st_size > 10_000


@pytest.mark.slow
def test_features_cover_the_training_crops_and_full_images(data, ranked):
    config = dataclasses.replace(Small(data=str(data)), val_split="test", output_stride=16)
    (xs, ys), images, classes = backbone_features.features(config, ranked / "features.npz")
    assert (xs.shape, ys.shape) == ((4, 2, 4, 14, 64), (4, 2, 4, 14))
    assert (classes, len(images)) == (len(scenes.CLASSES), 2)
    _, masks = next(iter(Segmentation(config).train_batches(2)))
    # The pixel in the center of each feature cell, or one of its neighbors.
    near = [masks[:, 7 + i :: 16, 7 + j :: 16].numpy() for i in (0, 1) for j in (0, 1)]
    assert np.mean(np.any([ys[2] == found for found in near], 0)) == 1


@pytest.mark.slow
def test_unknown_recipe_and_features_of_another_experiment_raise(data, ranked, tmp_path):
    with pytest.raises(ValueError, match="`recipe` must be one of.*Received: recipe='scenes_fcn'"):
        rank_heads.main(str(data), "scenes_fcn", tmp_path)
    with pytest.raises(FileExistsError, match="another experiment, with .*Received: "):
        rank_heads.main(str(data), "scenes_encnet", ranked)  # the recipe at its full size


@pytest.mark.slow
def test_features_of_changed_data_raise(data, ranked, monkeypatch, tmp_path):
    changed = shutil.copytree(data, tmp_path / "scenes")
    shutil.copy(changed / "images/train_00001.png", changed / "images/train_00000.png")
    config = read_json(ranked / "config.json")
    monkeypatch.setitem(experiments.RECIPES, "scenes_encnet", Small)
    monkeypatch.setattr(experiments, "check_same", lambda *unused: None)  # of another path
    with pytest.raises(FileExistsError, match=r"1 of 4 .* changed: train_00000 \(image\)"):
        rank_heads.main(str(changed), "scenes_encnet", ranked)
    assert read_json(ranked / "config.json") == config


def test_missing_data_leaves_no_files(tmp_path):
    with pytest.raises(OSError, match="Received: root='nowhere'"):
        rank_heads.main("nowhere", "scenes_encnet", tmp_path)
    assert not list(tmp_path.iterdir())
