"""`training.research.first_steps` follows a training without changing it."""

import dataclasses
import json

import numpy as np
import pytest

from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.research import first_steps
from training.run.fit import optimizer, set_up
from training.tasks.segmentation import Segmentation

SMALL = {"width_multiplier": 0.125, "batch_size": 2, "warmup_steps": 0, "epochs": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=4, val=1, test=1))


def test_the_losses_are_those_of_the_training_itself(data):
    config = ScenesEncNet(data=data, channels=8, num_codewords=4, **SMALL)
    looks = first_steps.follow(config, steps=1)
    set_up(config)
    task = Segmentation(config)
    model = task.build_model()
    model.compile(optimizer(config, 4, task.multipliers(model)), **task.objectives(model))
    losses = [
        float(model.train_on_batch(*batch, return_dict=True)["loss"])
        for _, batch in zip(range(2), task.train_batches(model), strict=False)
    ]
    assert [look["loss"] for look in looks] == pytest.approx(losses, rel=1e-6)
    assert [look["step"] for look in looks] == [0, 1]
    assert looks[0]["drift"] == 0 < looks[1]["drift"]


def test_gates_and_presence_that_start_at_zero_send_no_gradient_back(data):
    config = ScenesEncNet(data=data, channels=8, num_codewords=4, **SMALL)
    first = first_steps.follow(config, steps=0)[0]
    assert first["gates"] == first["presence"] == 0 < first["classifier"]
    official = dataclasses.replace(config, variant="official", auxiliary="none")
    first = first_steps.follow(official, steps=0)[0]
    assert min(first["gates"], first["presence"], first["classifier"]) > 0


def test_a_rate_of_zero_moves_nothing(data):
    frozen = {"freeze_backbone_batch_normalization": True}  # its statistics would move
    config = ScenesFCN(data=data, learning_rate=0.0, **SMALL, **frozen)
    looks = first_steps.follow(config, steps=1)
    assert [look["drift"] for look in looks] == [0, 0]
    assert "gates" not in looks[0]


def test_a_head_that_begins_at_three_stages_is_refused(data):
    with pytest.raises(ValueError, match="lateral=True"):
        first_steps.follow(ScenesEncNet(data=data, channels=8, lateral=True, **SMALL))


@pytest.mark.parametrize("option", [{"num_codewords": 5}, {"strategy": "mirrored"}])
def test_options_of_no_use_are_refused(option):
    with pytest.raises(ValueError, match="no effect"):
        first_steps.follow(ScenesFCN(data="nowhere", **option))


def test_the_command_takes_a_recipe_and_writes_a_table(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(first_steps, "STEPS", 1)
    monkeypatch.setattr(first_steps.follow, "__defaults__", (1,))
    options = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    options += ["--data", data, "--run-dir", str(tmp_path), "--channels", "8"]
    first_steps.main(["scenes_encnet", *options])
    record = json.loads((tmp_path / "first_steps.json").read_text())
    assert record["config"]["channels"] == 8
    assert np.isfinite([list(look.values()) for look in record["looks"]]).all()
    assert "features moved by" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        first_steps.main(["cifar10_resnet14_64d"])
