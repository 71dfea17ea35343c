"""Tests of `training.research.first_steps`."""

import contextlib
import io
import json

import numpy as np
import pytest

from training.configs import RECIPES
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.research import first_steps
from training.run.fit import optimizer, set_up
from training.tasks.segmentation import Segmentation

ENCNET = {"channels": 8, "num_codewords": 4}
SMALL = {"width_multiplier": 0.125, "batch_size": 2, "warmup_steps": 0, "epochs": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=4, val=1, test=1))


@pytest.fixture(scope="module")
def command(data, tmp_path_factory):
    """The record of the command on EncNet, and what it printed."""
    run_dir = tmp_path_factory.mktemp("first_steps")
    options = {**SMALL, **ENCNET, "data": data, "run_dir": run_dir}
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(first_steps, "STEPS", 1)
        first_steps.main(["scenes_encnet", *arguments])
    return json.loads((run_dir / "first_steps.json").read_text()), printed.getvalue()


@pytest.mark.slow
def test_command_writes_a_record_and_prints_a_table(command):
    record, printed = command
    assert record["config"]["channels"] == 8
    assert np.isfinite([list(values.values()) for values in record["measurements"]]).all()
    assert "features moved by" in printed


@pytest.mark.slow
def test_diagnostics_do_not_change_training(command, data):
    measured = command[0]["measurements"]
    config = ScenesEncNet(data=data, **ENCNET, **SMALL)
    set_up(config)
    task = Segmentation(config)
    model = task.build_model()
    model.compile(optimizer(config, 4, task.multipliers(model)), **task.objectives(model))
    losses = [
        float(model.train_on_batch(*batch, return_dict=True)["loss"])
        for _, batch in zip(range(2), task.train_batches(), strict=False)
    ]
    assert [values["loss"] for values in measured] == pytest.approx(losses, rel=1e-6)
    assert [values["step"] for values in measured] == [0, 1]
    assert measured[0]["drift"] == 0 < measured[1]["drift"]


@pytest.mark.slow
def test_zero_initialized_gates_and_presence_pass_no_gradient(command, data):
    first = command[0]["measurements"][0]
    assert first["gates"] == first["presence"] == 0 < first["classifier"]
    official = ScenesEncNet(data=data, variant="official", auxiliary="none", **ENCNET, **SMALL)
    first = first_steps.follow(official, steps=0)[0]
    assert min(first["gates"], first["presence"], first["classifier"]) > 0


@pytest.mark.slow
def test_learning_rate_of_zero_leaves_features_unchanged(data):
    frozen = {"freeze_backbone_batch_normalization": True}  # its statistics would move
    config = ScenesFCN(data=data, learning_rate=0.0, **SMALL, **frozen)
    measured = first_steps.follow(config, steps=1)
    assert [values["drift"] for values in measured] == [0, 0]
    assert "gates" not in measured[0]


@pytest.mark.parametrize("option", [{"lateral": True}, {"neck": "jpu"}])
def test_head_on_several_stages_raises(data, option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        first_steps.follow(ScenesEncNet(data=data, channels=8, **option, **SMALL), 1)


@pytest.mark.parametrize("option", [{"num_codewords": 5}, {"strategy": "mirrored"}])
def test_options_without_effect_raise(option):
    with pytest.raises(ValueError, match="`--(num-codewords|strategy)`"):
        first_steps.follow(ScenesFCN(data="nowhere", **option), 1)


def test_command_rejects_classifiers(capsys):
    assert "cifar10_resnet_64d" in RECIPES
    with pytest.raises(SystemExit):
        first_steps.main(["cifar10_resnet_64d"])
    assert "No such recipe" in capsys.readouterr().err
