"""Options of recipes: ranges, and options that have no effect."""

import pytest

from training.configs.cifar10 import CIFAR10EncNet16k64d, CIFAR10ResNet64d
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.run import fit


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (ScenesFCN(channels=256, num_codewords=16), "`--channels` and `--num-codewords`"),
        (ScenesFCN(se_weight=0.0), "`--se-weight`"),
        (ScenesFCN(aggregation="sum"), "`--aggregation`"),
        (ScenesFCN(auxiliary_weight=0.4), "`--auxiliary-weight`"),
        (ScenesEncNet(auxiliary_weight=0.4), "`--auxiliary-weight`"),
        (ScenesEncNet(num_codewords=0, codeword_pooling="mean"), "`--codeword-pooling`"),
        (ScenesEncNet(dropout=0.0, spatial_dropout=True), "`--spatial-dropout`"),
        (ScenesEncNet(start_from="x.keras", backbone_weights="imagenet"), "`--backbone-weights`"),
        (ScenesEncNet(head="fcn", lateral=True), "`--lateral`"),
        (ScenesEncNet(neck_width=64), "`--neck-width`"),
        (ScenesEncNet(backbone="resnet50", second_dilation="none"), "`--second-dilation`"),
        (ScenesEncNet(backbone="xception", blocks=(1, 2, 1, 1)), "`--blocks`"),
        (ScenesEncNet(backbone="xception", width_multiplier=0.5), "`--width-multiplier`"),
        (ScenesEncNet(backbone="xception", output_stride=32), "`--output-stride`"),
        (ScenesEncNet(head="psp", se_weight=0.0), "`--se-weight`"),
        (ScenesEncNet(head="psp", aspp_dilation=6), "`--aspp-dilation`"),
        (ScenesEncNet(head="deeplabv3", concat_input=True), "`--concat-input`"),
        (ScenesEncNet(schedule="cosine", power=1.0), "`--power`"),
        (CIFAR10ResNet64d(stochastic_scale=False), "`--stochastic-scale`"),
        (CIFAR10ResNet64d(num_codewords=32), "`--num-codewords`"),
        (CIFAR10EncNet16k64d(reduction=8), "`--reduction`"),
    ],
)
def test_options_without_effect_raise(config, named):
    with pytest.raises(ValueError, match=f"{named} ha(s|ve) no effect in this recipe. Received: "):
        config.check()


@pytest.mark.parametrize(
    "config",
    [
        ScenesFCN(),
        ScenesFCN(gate_bias=None),
        ScenesEncNet(variant="official", auxiliary_weight=0.4),
        ScenesFCN(auxiliary="fcn", auxiliary_weight=0.4, dropout=0.0),
        ScenesEncNet(backbone="efficientnetv2b0", channels=256),
        ScenesEncNet(head="fcn", concat_input=True),
        ScenesEncNet(head="psp", auxiliary="fcn"),
        ScenesEncNet(head="deeplabv3", aspp="wide", aspp_dilation=6),
        ScenesEncNet(channels=256, power=1.0),
        ScenesEncNet(neck="jpu", neck_width=64, second_dilation="stage"),
        CIFAR10ResNet64d(width=16),
    ],
)
def test_options_with_effect_are_accepted(config):
    config.check()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("epochs", 0, "at least 1"),
        ("learning_rate", -1.0, "at least 0"),
        ("learning_rate_batch", 0, "at least 1"),
        ("warmup_steps", -1, "at least 0"),
        ("min_epoch_steps", 0, "at least 1"),
        ("clip_norm", 0.0, "above 0"),
        ("average_weights", 1.0, "between 0 and 1, exclusive"),
        ("head_multiplier", float("nan"), "at least 0"),
        ("presence_multiplier", -1.0, "at least 0"),
        ("diagnostics", -1, "at least 0"),
        ("brightness", 1.5, "from 0 to 1"),
        ("hue", 0.6, "from 0 to 0.5"),
        ("blur", float("nan"), "at least 0"),
    ],
)
def test_options_out_of_range_raise(name, value, allowed):
    option = name.replace("_", "-")
    with pytest.raises(ValueError, match=f"`--{option}` must be {allowed}. Received: {name}="):
        ScenesEncNet(**{name: value}).check()


def test_invalid_structural_option_raises():
    with pytest.raises(ValueError, match=r"must be one of \('fcn', 'none'\).*'context'"):
        ScenesFCN(auxiliary="context").check()
    with pytest.raises(ValueError, match="requires `output_stride=32`.*Received: output_stride=8"):
        ScenesFCN(neck="jpu", output_stride=8).check()
    with pytest.raises(ValueError, match="`dropout` must be a number from 0 to 1"):
        ScenesFCN(dropout=1.5).check()


@pytest.mark.parametrize("config", [ScenesFCN(epochs=0), ScenesFCN(se_weight=0.0)])
def test_options_are_checked_before_data_is_read(config, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "task_of", lambda config: pytest.fail("read the data"))
    with pytest.raises(ValueError, match="`--"):
        fit.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"freeze_backbone": 1, "start_from": None}, "`--start-from`"),  # random weights
        ({"freeze_backbone": 5, "epochs": 4, "backbone_weights": "imagenet"}, "`--epochs`"),
    ],
)
def test_backbones_are_frozen_within_the_run_and_with_trained_weights(options, named):
    with pytest.raises(ValueError, match=f"{named}. Received: freeze_backbone="):
        ScenesEncNet(**options).check()


def test_changed_returns_options_that_differ_from_the_recipe():
    config = ScenesFCN(epochs=3, gating="scale")
    assert config.changed(("epochs", "batch_size", "gating")) == {"epochs": 3, "gating": "scale"}


@pytest.mark.parametrize("option", ["start_from", "backbone_weights"])
def test_missing_weights_raise_before_the_data_are_read(option, tmp_path):
    path = tmp_path / "x.keras"
    name = option.replace("_", "-")
    with pytest.raises(FileNotFoundError, match=f"`--{name}`: .*Received: {option}='.*x.keras'"):
        ScenesFCN(**{option: str(path)}).check()
    path.touch()
    ScenesFCN(**{option: str(path)}).check()
