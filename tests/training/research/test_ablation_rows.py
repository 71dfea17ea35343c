"""Tests of the rows of an ablation and of its report."""

import dataclasses
import json

import pytest
from PIL import Image

from training.configs.folder import FolderEncNet50
from training.configs.scenes import ScenesEncNet
from training.research import ablation_report, ablation_rows


def test_networks_with_other_heads_differ_in_the_head_only():
    parts = ("fcn", "psp", "deeplabv3", "encoding", "se_loss")
    rows = {row.name: row.changes for row in ablation_rows.rows_of(ScenesEncNet(), parts)}
    assert rows == {
        "fcn": {"head": "fcn"},
        "psp": {"head": "psp"},
        "deeplabv3": {"head": "deeplabv3"},
        "se_weight_0": {"se_weight": 0.0},
        "se_loss": {},
    }
    for changes in rows.values():
        dataclasses.replace(ScenesEncNet(), **changes).check()


def test_learning_rates_are_those_of_the_heads():
    rates: dict = {"fcn": 0.01, "encnet": 0.02}
    found = ablation_rows.rows_of(ScenesEncNet(), ("fcn", "psp"), None, ("jpu",), rates)
    assert {row.name: row.changes.get("learning_rate") for row in found} == {
        "fcn-jpu": 0.01,
        "psp-jpu": None,  # that of the recipe
    }


def test_necks_repeat_the_networks_but_not_the_sweeps():
    parts = ("fcn", "se_loss", "multi_scale", "codewords")
    rows = {row.name: row for row in ablation_rows.rows_of(ScenesEncNet(), parts, None, ("jpu",))}
    networks = {name: row.changes for name, row in rows.items() if "codewords" not in name}
    assert networks == {
        "fcn-jpu": {"head": "fcn", "neck": "jpu"},
        "se_loss-jpu": {"neck": "jpu"},
        "se_loss": {},  # scored at several scales
        "multi_scale": {},
    }
    both = ablation_rows.rows_of(ScenesEncNet(neck="jpu"), ("fcn",), None, ("none", "jpu"))
    assert {row.name: row.changes.get("neck") for row in both} == {"fcn-none": "none", "fcn": None}


def test_rows_are_those_of_the_paper_without_duplicates():
    rows = {row.name: row.changes for row in ablation_rows.rows_of(ScenesEncNet())}
    assert list(rows)[:5] == ["fcn", "se_weight_0", "se_loss", "deeper", "multi_scale"]
    assert rows["fcn"] == {"head": "fcn"}
    assert rows["deeper"] == {"blocks": (2, 2, 2, 2)}
    # The recipe's own 0.2 and 32 codewords, and 0.0, are rows of the table already.
    swept = [changes for name, changes in rows.items() if name not in list(rows)[:5]]
    assert swept == [
        *({"se_weight": weight} for weight in (0.1, 0.4, 0.8)),
        *({"num_codewords": number} for number in (0, 8, 16, 64)),
    ]


def test_multi_scale_row_scores_the_deepest_model():
    rows = ablation_rows.rows_of(ScenesEncNet(), ("deeper", "multi_scale"))
    assert [(row.name, row.source) for row in rows] == [("deeper", None), ("multi_scale", "deeper")]
    rows = ablation_rows.rows_of(ScenesEncNet(), ("fcn", "multi_scale"))
    assert [row.name for row in rows] == ["fcn", "se_loss", "multi_scale"]
    assert rows[-1].source == "se_loss"


def test_deeper_backbone_requires_its_own_weights():
    recipe = FolderEncNet50(data="x")
    assert ablation_rows.deeper(recipe) == {"backbone": "resnet101"}
    recipe = FolderEncNet50(data="x", backbone_weights="resnet50.weights.h5")
    with pytest.raises(ValueError, match="--deeper-weights.*resnet50.weights.h5"):
        ablation_rows.rows_of(recipe)
    weights = "resnet101.weights.h5"
    expected = {"backbone": "resnet101", "backbone_weights": weights}
    assert ablation_rows.deeper(recipe, weights) == expected
    with pytest.raises(ValueError, match="no deeper backbone"):
        ablation_rows.deeper(FolderEncNet50(data="x", backbone="resnet152"))


def test_plots_and_table_from_partial_results(tmp_path):
    for name, changes, score in (
        ("fcn", {"head": "fcn"}, 0.3),
        ("se_loss", {}, 0.5),
        ("fcn-jpu", {"head": "fcn", "neck": "jpu"}, 0.3),
        ("se_weight_0.8", {"se_weight": 0.8}, 0.6),
        ("num_codewords_8", {"num_codewords": 8}, 0.4),
    ):
        for seed in (0, 1):
            scores = {"pixel_accuracy": score, "mean_iou": score - 0.1 * seed}
            if name == "se_loss":
                presence = {"se_loss": 0.1 + 0.1 * seed, "base_rate_loss": 0.3}
                scores["presence"] = {**presence, "average_precision": 0.8 + 0.1 * seed}
            result = {"label": f"row {name}", "changes": changes, "scores": scores}
            result["seconds"] = {"train": 60.0}
            (tmp_path / f"{name}-seed{seed}.json").write_text(json.dumps(result))
    ablation_report.write(tmp_path, ScenesEncNet())
    assert Image.open(tmp_path / "sweeps.png").size[0] > 800
    assert Image.open(tmp_path / "rows.png").size[0] > 400
    table = (tmp_path / "table.md").read_text()
    order = [
        table.index(f"row {name} ")
        for name in ("fcn", "se_loss", "fcn-jpu", "num_codewords_8", "se_weight_0.8")
    ]
    assert order == sorted(order)
    assert table.count("0.150 (0.300), 85.0") == 1


def test_sweeps_include_the_value_of_the_recipe(tmp_path):
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
