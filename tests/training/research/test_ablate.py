"""The ablation trains each network once, goes on where it stopped, and adds up."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from training.configs.folder import FolderEncNet50
from training.configs.scenes import ScenesEncNet
from training.datasets import scenes
from training.research import ablate, ablation_report


@dataclasses.dataclass(frozen=True)
class Small(ScenesEncNet):
    """Scenes in the smallest form."""

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
    """Makes the recipe of scenes small, and lists what is trained."""
    return watch(monkeypatch)


def watch(monkeypatch):
    names, train = [], ablate.train

    def counted(config, run_dir):
        names.append(run_dir.name)
        return train(config, run_dir)

    monkeypatch.setitem(ablate.RECIPES, "scenes_encnet", Small)
    monkeypatch.setattr(ablate, "train", counted)
    return names


def run(data, output, **options):
    sizes = {}
    if "multi_scale" in options.get("parts", ablate.PARTS):
        sizes = {"base_size": 104, "crop_size": 96}
    ablate.main(str(data), "scenes_encnet", output, **sizes, **options)


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """An ablation in two commands: some rows, then a second seed of the first."""
    output = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as monkeypatch:
        names = watch(monkeypatch)
        run(data, output, parts=("fcn", "multi_scale"))
        before = (output / "fcn-seed0.json").read_bytes()
        run(data, output, parts=("fcn",), seeds=(0, 1))
        assert (output / "fcn-seed0.json").read_bytes() == before
    return output, names


def test_the_rows_are_those_of_the_paper_and_no_network_is_trained_twice():
    rows = {row.name: row.changes for row in ablate.rows_of(ScenesEncNet())}
    assert list(rows)[:5] == ["fcn", "se_weight_0", "se_loss", "deeper", "multi_scale"]
    assert rows["fcn"] == {"head": "fcn"}
    assert rows["deeper"] == {"blocks": (2, 2, 2, 2)}
    # With the recipe's own 0.2 and 32 codewords, and with 0.0 of the table.
    swept = [changes for name, changes in rows.items() if name not in list(rows)[:5]]
    assert swept == [
        *({"se_weight": weight} for weight in (0.1, 0.4, 0.8)),
        *({"num_codewords": number} for number in (0, 8, 16, 64)),
    ]


def test_multi_scale_scores_the_deeper_model_or_else_the_plain_one():
    rows = ablate.rows_of(ScenesEncNet(), ("deeper", "multi_scale"))
    assert [(row.name, row.of) for row in rows] == [("deeper", None), ("multi_scale", "deeper")]
    rows = ablate.rows_of(ScenesEncNet(), ("fcn", "multi_scale"))
    assert [row.name for row in rows] == ["fcn", "se_loss", "multi_scale"]
    assert rows[-1].of == "se_loss"


def test_a_deeper_backbone_needs_weights_of_its_own():
    recipe = FolderEncNet50(data="x")
    assert ablate.deeper(recipe) == {"backbone": "resnet101"}
    recipe = FolderEncNet50(data="x", backbone_weights="resnet50.weights.h5")
    with pytest.raises(ValueError, match="--deeper-weights.*resnet50.weights.h5"):
        ablate.rows_of(recipe)
    weights = "resnet101.weights.h5"
    expected = {"backbone": "resnet101", "backbone_weights": weights}
    assert ablate.deeper(recipe, weights) == expected
    with pytest.raises(ValueError, match="no deeper backbone"):
        ablate.deeper(FolderEncNet50(data="x", backbone="resnet152"))


def test_what_is_done_is_not_done_again_and_a_seed_can_be_added(done):
    _, trained = done
    assert trained == ["fcn-seed0", "se_loss-seed0", "fcn-seed1"]


def test_a_result_says_what_it_is_of(done):
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
    multi_scale = json.loads((output / "multi_scale-seed0.json").read_text())
    assert multi_scale["multi_scale"] == {"base_size": 104, "crop_size": 96}
    assert multi_scale["of"] == "se_loss"


def test_the_table_has_the_mean_and_the_reach_of_the_seeds(done):
    output, _ = done
    table = (output / "table.md").read_text()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert lines[0] == ["network", "pixAcc %", "mIoU %", "seeds", "minutes a seed"]
    assert [line[0] for line in lines[2:]] == ["FCN", "+ SE-loss", "+ multi-scale"]
    results = [json.loads((output / f"fcn-seed{seed}.json").read_text()) for seed in (0, 1)]
    scores = [100 * result["scores"]["mean_iou"] for result in results]
    assert lines[2][2] == f"{np.mean(scores):.1f} ({min(scores):.1f} to {max(scores):.1f})"
    assert [line[3] for line in lines[2:]] == ["2", "1", "1"]


def test_the_sweeps_are_drawn_from_what_is_there(tmp_path):
    for name, changes, score in (
        ("fcn", {"head": "fcn"}, 0.3),
        ("se_loss", {}, 0.5),
        ("se_weight_0.8", {"se_weight": 0.8}, 0.6),
        ("num_codewords_8", {"num_codewords": 8}, 0.4),
    ):
        for seed in (0, 1):
            scores = {"pixel_accuracy": score, "mean_iou": score - 0.1 * seed}
            result = {"label": f"row {name}", "changes": changes, "scores": scores}
            result["seconds"] = {"train": 60.0}
            (tmp_path / f"{name}-seed{seed}.json").write_text(json.dumps(result))
    ablation_report.write(tmp_path, ScenesEncNet())
    assert Image.open(tmp_path / "sweeps.png").size[0] > 800
    assert Image.open(tmp_path / "rows.png").size[0] > 400
    table = (tmp_path / "table.md").read_text()
    order = [
        table.index(f"row {name} ") for name in ("se_loss", "num_codewords_8", "se_weight_0.8")
    ]
    assert order == sorted(order)


def test_the_curves_have_a_point_a_value_that_of_the_recipe_among_them(tmp_path):
    def result(changes, score):
        return [{"changes": changes, "scores": score}]

    found = {
        "fcn": result({"head": "fcn"}, 1),
        "se_weight_0": result({"se_weight": 0.0}, 2),
        "se_loss": result({}, 3),
        "deeper": result({"blocks": [2, 2, 2, 2]}, 4),
        "multi_scale": result({}, 5),
        "se_weight_0.8": result({"se_weight": 0.8}, 6),
        "num_codewords_8": result({"num_codewords": 8}, 7),
    }
    curves = ablation_report.sweeps(found, ScenesEncNet())
    values = {
        field: {value: results[0]["scores"] for value, results in points.items()}
        for field, points in curves.items()
    }
    assert values == {"se_weight": {0.0: 2, 0.2: 3, 0.8: 6}, "num_codewords": {8: 7, 32: 3}}
    assert list(curves["se_weight"]) == [0.0, 0.2, 0.8]


def test_a_row_that_broke_off_goes_on(data, trained, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(ablate, "evaluate", lambda *unused: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(data, tmp_path, parts=("fcn",))
    run(data, tmp_path, parts=("fcn",))
    assert trained == ["fcn-seed0"]  # its training was finished
    result = json.loads((tmp_path / "fcn-seed0.json").read_text())
    history = json.loads((tmp_path / "runs/fcn-seed0/history.json").read_text())
    assert result["seconds"]["train"] == pytest.approx(sum(history["seconds"]))


def test_results_of_another_experiment_are_not_mixed_in(data, done):
    output, _ = done
    with pytest.MonkeyPatch.context() as monkeypatch:
        watch(monkeypatch)
        with pytest.raises(FileExistsError, match="with epochs=1.*Received: epochs=2"):
            run(data, output, parts=("fcn",), epochs=2)
        # In one table with rows that it doesn't train.
        with pytest.raises(FileExistsError, match="with epochs=1.*Received: epochs=2"):
            run(data, output, parts=("encoding",), epochs=2)
        with pytest.raises(FileExistsError, match="precision='float32'.*Received: .*'bfloat16'"):
            run(data, output, parts=("fcn",), precision="bfloat16")


def test_a_recipe_keeps_its_own_data_and_the_sizes_that_it_trains_at():
    assert ablate.config_of("scenes_encnet").data == "scenes"
    with pytest.raises(ValueError, match="give `--data`. Received: recipe='folder_encnet50'"):
        ablate.config_of("folder_encnet50")
    for recipe, sizes in {
        "scenes_encnet": (224, 224),
        "folder_encnet50": (520, 480),
        "ade20k_encnet101": (640, 576),
    }.items():
        config = ablate.config_of(recipe, "scenes" if recipe == "scenes_encnet" else "FOLDER")
        expected = dict(zip(("base_size", "crop_size"), sizes, strict=True))
        assert ablate.multi_scale_sizes(config) == expected
        assert ablate.multi_scale_sizes(config, 100) == {**expected, "base_size": 100}


def test_a_result_tells_the_name_of_weights_and_not_where_they_were(tmp_path):
    options = {"backbone": "resnet101", "backbone_weights": str(tmp_path / "resnet101.weights.h5")}
    recorded = ablate._recorded(options)
    assert recorded == {"backbone": "resnet101", "backbone_weights": "resnet101.weights.h5"}
    for unchanged in ({"backbone_weights": "imagenet"}, {"backbone_weights": None}, {}):
        assert ablate._recorded(unchanged) == unchanged


def test_a_result_from_before_an_option_existed_is_still_of_the_same_experiment(tmp_path):
    (tmp_path / "fcn-seed0.json").write_text('{"epochs": 1}')
    ablate.check_same(tmp_path / "fcn-seed0.json", {"epochs": 1, "younger": 2})


@pytest.mark.parametrize("option", [{"base_size": 520}, {"deeper_weights": "x.weights.h5"}])
def test_options_of_parts_that_are_left_out_are_refused(option, tmp_path):
    with pytest.raises(ValueError, match="no effect without the part"):
        ablate.main("scenes", "scenes_encnet", tmp_path, parts=("fcn",), **option)


def test_no_training_begins_when_time_is_over(data, trained, tmp_path, capsys):
    run(data, tmp_path, parts=("fcn",), hours=0.0)
    assert not trained
    assert "the same command goes on" in capsys.readouterr().out


@pytest.mark.parametrize(
    "recipe", ["scenes_fcn", "cifar10_encnet_16k64d", "ade20k_encnet50_official", "nothing"]
)
def test_only_an_encnet_on_masks_can_be_taken_apart(recipe, tmp_path):
    with pytest.raises(ValueError, match=f"'scenes_encnet'.*Received: recipe='{recipe}'"):
        ablate.main("scenes", recipe, tmp_path)
