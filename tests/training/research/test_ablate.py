"""Tests of `training.research.ablate` and its report."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from training.configs.scenes import ScenesEncNet
from training.datasets import scenes
from training.research import ablate, ablation_rows, experiments


@dataclasses.dataclass(frozen=True)
class Small(ScenesEncNet):
    """A recipe that trains within seconds."""

    width_multiplier: float = 0.125
    channels: int = 8
    batch_size: int = 4
    warmup_steps: int = 0
    epochs: int = 1


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=4, val=1, test=2)


@pytest.fixture
def trained(monkeypatch):
    """Makes the recipe of scenes small, and lists the runs that are trained."""
    return record_training(monkeypatch)


def record_training(monkeypatch):
    names, train = [], ablate.train

    def recorded(config, run_dir):
        names.append(run_dir.name)
        return train(config, run_dir)

    monkeypatch.setitem(experiments.RECIPES, "scenes_encnet", Small)
    monkeypatch.setattr(ablate, "train", recorded)
    return names


def run(data, output, **options):
    if "multi_scale" in options.get("parts", ablation_rows.PARTS):
        options |= {"base_size": 104, "crop_size": 96}
    ablate.main(ablate.Options(data=str(data), output=output, **options))


@pytest.fixture(scope="module")
def done(data, eager, tmp_path_factory):
    """An ablation by two commands: some rows, then a second seed of the first."""
    output = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as monkeypatch:
        names = record_training(monkeypatch)
        run(data, output, parts=("fcn", "multi_scale"))
        before = (output / "fcn-seed0.json").read_bytes()
        run(data, output, parts=("fcn",), seeds=(0, 1))
        assert (output / "fcn-seed0.json").read_bytes() == before
    return output, names


@pytest.mark.slow
def test_rerun_trains_only_missing_rows_and_seeds(done):
    _, trained = done
    assert trained == ["fcn-seed0", "se_loss-seed0", "fcn-seed1"]


@pytest.mark.slow
def test_result_records_its_experiment(done):
    output, _ = done
    result = json.loads((output / "fcn-seed1.json").read_text())
    expected = {
        "recipe": "scenes_encnet",
        "data": "scenes",
        "split": "test",
        "epochs": 1,
        "precision": "float32",
        "seed": 1,
    }
    assert {key: result[key] for key in expected} == expected
    assert result["changes"] == {"head": "fcn"}
    assert result["seconds"]["train"] > result["seconds"]["evaluate"] > 0
    assert result["environment"]["packages"]["keras"]
    assert result["automatic"]["image_channels"] == 3
    assert len(result["history"]["val_mean_iou"]) == len(result["history"]["seconds"]) > 0
    multi_scale = json.loads((output / "multi_scale-seed0.json").read_text())
    assert multi_scale["multi_scale"] == {"base_size": 104, "crop_size": 96}
    assert multi_scale["source"] == "se_loss"


@pytest.mark.slow
def test_table_has_mean_minimum_and_maximum_over_seeds(done):
    output, _ = done
    table = (output / "table.md").read_text()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    presence = "presence: SE-loss (base rates), AP %"
    assert lines[0] == ["network", "pixAcc %", "mIoU %", presence, "seeds", "minutes per seed"]
    assert [line[0] for line in lines[2:]] == ["FCN", "+ SE-loss", "+ multi-scale"]
    results = [json.loads((output / f"fcn-seed{seed}.json").read_text()) for seed in (0, 1)]
    scores = [100 * result["scores"]["mean_iou"] for result in results]
    assert lines[2][2] == f"{np.mean(scores):.1f} ({min(scores):.1f} to {max(scores):.1f})"
    assert [line[4] for line in lines[2:]] == ["2", "1", "1"]


@pytest.mark.slow
def test_interrupted_row_resumes(data, eager, trained, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(ablate, "evaluate", lambda *unused: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(data, tmp_path, parts=("fcn",))
    run(data, tmp_path, parts=("fcn",))
    assert trained == ["fcn-seed0"]  # its training had finished
    result = json.loads((tmp_path / "fcn-seed0.json").read_text())
    history = json.loads((tmp_path / "runs/fcn-seed0/history.json").read_text())
    assert result["seconds"]["train"] == pytest.approx(sum(history["seconds"]))


@pytest.mark.slow
def test_results_of_another_experiment_raise(data, done):
    output, _ = done
    with pytest.MonkeyPatch.context() as monkeypatch:
        record_training(monkeypatch)
        with pytest.raises(FileExistsError, match="with epochs=1.*Received: epochs=2"):
            run(data, output, parts=("fcn",), epochs=2)
        # Other rows count as well: all rows share one table.
        with pytest.raises(FileExistsError, match="with epochs=1.*Received: epochs=2"):
            run(data, output, parts=("encoding",), epochs=2)
        with pytest.raises(FileExistsError, match="precision='float32'.*Received: .*'bfloat16'"):
            run(data, output, parts=("fcn",), precision="bfloat16")


def test_default_data_and_multi_scale_sizes_of_recipes():
    assert experiments.encnet_recipe("scenes_encnet").data == "scenes"
    with pytest.raises(ValueError, match="add `--data`. Received: recipe='folder_encnet50'"):
        experiments.encnet_recipe("folder_encnet50")
    for recipe, sizes in {
        "scenes_encnet": (224, 224),
        "folder_encnet50": (None, None),
        "ade20k_encnet101": (640, 576),
    }.items():
        config = experiments.encnet_recipe(
            recipe, "scenes" if recipe == "scenes_encnet" else "FOLDER"
        )
        expected = dict(zip(("base_size", "crop_size"), sizes, strict=True))
        assert ablate.multi_scale_sizes(config) == expected
        assert ablate.multi_scale_sizes(config, 100) == {**expected, "base_size": 100}


def test_result_records_weights_by_name_without_folder(data, tmp_path):
    for name in ("resnet50", "resnet101"):
        (tmp_path / f"{name}.weights.h5").touch()
    ablation = ablate.Ablation(
        ablate.Options(
            data=str(data),
            recipe="folder_encnet50",
            output=tmp_path,
            parts=("fcn", "deeper"),
            backbone_weights=str(tmp_path / "resnet50.weights.h5"),
            deeper_weights=str(tmp_path / "resnet101.weights.h5"),
        )
    )
    fcn, deeper = (ablation.describe(row, seed=0) for row in ablation.rows)
    assert fcn["backbone_weights"] == "resnet50.weights.h5"
    assert fcn["changes"] == {"head": "fcn"}
    expected = {"backbone": "resnet101", "backbone_weights": "resnet101.weights.h5"}
    assert deeper["changes"] == expected


def test_changed_data_are_refused(tmp_path):
    data = scenes.write(tmp_path / "scenes", train=2, val=1, test=1)
    options = ablate.Options(data=str(data), output=tmp_path / "results", parts=("fcn",))
    ablate.Ablation(options)
    ablate.Ablation(options)
    ablate.Ablation(dataclasses.replace(options, split="val"))
    image = data / "images" / "train_00001.png"
    Image.new("RGB", Image.open(image).size).save(image)
    with pytest.raises(FileExistsError, match=r"split 'train' 1 of 2 .*train_00001 \(image\)"):
        ablate.Ablation(options)


def test_damaged_data_are_named_before_training(tmp_path):
    data = scenes.write(tmp_path / "scenes", train=1, val=1, test=1)
    path = data / "labels" / "test_00000.png"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="test_00000: the mask cannot be read"):
        ablate.Ablation(ablate.Options(data=str(data), output=tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_results_without_a_newer_option_are_accepted(tmp_path):
    (tmp_path / "fcn-seed0.json").write_text('{"epochs": 1}')
    experiments.check_same(tmp_path / "fcn-seed0.json", {"epochs": 1, "younger": 2})


@pytest.mark.parametrize(
    "option",
    [
        {"base_size": 520},
        {"deeper_weights": "x.weights.h5"},
        {"learning_rates": {"fcn": 0.1, "psp": 0.1}},
    ],
)
def test_options_of_omitted_parts_raise(option):
    with pytest.raises(ValueError, match="without the part"):
        ablate.Options(parts=("fcn",), **option)


def rates_of(data, output, rates):
    """Returns the learning rates of the configuration and of the rows FCN and PSPNet."""
    ablation = ablate.Ablation(
        ablate.Options(data=str(data), output=output, parts=("fcn", "psp"), learning_rates=rates)
    )
    recorded = ablation.setup["learning_rate"]
    return recorded, *(row.changes.get("learning_rate", recorded) for row in ablation.rows)


def test_heads_without_a_learning_rate_have_that_of_the_recipe(data, tmp_path):
    own = ScenesEncNet().learning_rate
    assert rates_of(data, tmp_path, {"encnet": 0.5, "psp": 0.25}) == (0.5, own, 0.25)
    assert rates_of(data, tmp_path, {"encnet": 0.5, "psp": 0.5}) == (0.5, own, 0.5)
    assert rates_of(data, tmp_path, {"psp": 0.25}) == (own, own, 0.25)


def test_invalid_learning_rates_raise_before_any_training(data, tmp_path):
    with pytest.raises(ValueError, match="learning_rate=-1"):
        rates_of(data, tmp_path, {"psp": -1.0})


def test_no_training_starts_after_the_time_limit(data, trained, tmp_path, capsys):
    run(data, tmp_path, parts=("fcn",), hours=0.0)
    assert not trained
    assert "rerun the same command to resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    "recipe", ["scenes_fcn", "cifar10_encnet_16k64d", "ade20k_encnet50_official", "nothing"]
)
def test_recipe_must_be_an_encnet_that_requires_only_data(recipe, tmp_path):
    with pytest.raises(ValueError, match=f"'scenes_encnet'.*Received: recipe='{recipe}'"):
        ablate.main(ablate.Options(recipe=recipe, output=tmp_path))
