"""Tests of `training.finetune`."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from tests.fixtures import SMALL_FCN
from training import finetune
from training.configs.scenes import ScenesFCN
from training.datasets import scenes

SMALL = {**SMALL_FCN, "warmup_steps": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=4, val=1, test=1)


@pytest.mark.slow
def test_each_stage_starts_from_the_previous_one(data, eager, tmp_path, monkeypatch):
    # With a learning rate of zero, a stage changes nothing but the moving statistics.
    stages = {
        "trainaug": ScenesFCN(data=str(data), **SMALL),
        "train": ScenesFCN(data=str(data), learning_rate=0.0, seed=1, **SMALL),
    }
    last = finetune.finetune(stages, tmp_path)
    assert last == tmp_path / "2_train" / "last.keras"
    recorded = json.loads((tmp_path / "2_train" / "config.json").read_text())
    assert recorded["start_from"] == str(tmp_path / "1_trainaug" / "last.keras")
    first = keras.models.load_model(tmp_path / "1_trainaug" / "last.keras")
    second = keras.models.load_model(last)
    for before, after in zip(first.trainable_weights, second.trainable_weights, strict=True):
        np.testing.assert_array_equal(before, after, err_msg=before.path)

    # Finished stages are skipped; a run of other options raises.
    monkeypatch.setattr(finetune, "train", None)
    assert finetune.finetune(stages, tmp_path) == last
    stages["train"] = dataclasses.replace(stages["train"], seed=2)
    with pytest.raises(FileExistsError, match="other options: seed=1"):
        finetune.finetune(stages, tmp_path)


@pytest.fixture
def stages(monkeypatch):
    """Records the stages of the command instead of training them."""
    requested = {}
    monkeypatch.setattr(finetune, "finetune", lambda stages, run_dir: requested.update(stages))
    return requested


def test_paper_stages_are_trainaug_then_train_at_a_tenth_of_the_rate(stages):
    finetune.main("voc2012_encnet101", "voc")
    requested = {
        name: (c.data, c.train_split, c.learning_rate, c.epochs) for name, c in stages.items()
    }
    assert requested == {
        "trainaug": ("voc", "trainaug", 0.001, 50),
        "train": ("voc", "train", 0.0001, 50),
    }
    assert stages["trainaug"].backbone_weights == "imagenet"


def test_coco_is_the_first_stage_if_given(stages):
    finetune.main(
        "voc2012_encnet101_official", "voc", coco="coco", start_from="x.keras", batch_size=8
    )
    assert [*stages] == ["coco", "trainaug", "train"]
    first = stages["coco"]
    assert (first.data, first.train_split, first.learning_rate) == ("coco", "train", 0.004)
    assert (first.start_from, first.backbone_weights, first.batch_size) == ("x.keras", None, 8)


def test_structure_of_the_official_code_requires_start_from(stages):
    with pytest.raises(ValueError, match="keras_encnet.pytorch.convert"):
        finetune.main("voc2012_encnet101_official", "voc")
    assert not stages
