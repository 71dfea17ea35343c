"""Tests of `training.quickstart`."""

import dataclasses
import functools
import json

import pytest
import tensorflow as tf
from PIL import Image

from training import cli, quickstart
from training.datasets import scenes


@pytest.mark.slow
def test_quickstart_trains_evaluates_exports_and_predicts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # scenes are generated below the working directory
    counts = {"train": 8, "val": 2, "test": 6}
    monkeypatch.setattr(scenes, "write", functools.partial(scenes.write, **counts))
    small = {"width_multiplier": 0.125, "batch_size": 4, "warmup_steps": 1}
    networks = {name: dataclasses.replace(c, **small) for name, c in quickstart.NETWORKS.items()}
    monkeypatch.setattr(quickstart, "NETWORKS", networks)
    monkeypatch.setattr("sys.argv", ["quickstart", "--epochs", "1", "--export", "export/1"])
    (tmp_path / "export/1").mkdir(parents=True)
    (tmp_path / "export/1/saved_model.pb").touch()  # of an earlier run, to be replaced
    cli.run(quickstart.main)

    output = tmp_path / "runs/quickstart"
    results = json.loads((output / "results.json").read_text())
    assert results["receptive_field"] == 163
    for name in ("FCN", "EncNet"):
        assert 0 <= results[name]["ambiguous_iou"] <= 1
        assert 0 < results[name]["pixel_accuracy"] <= 1
        assert (output / name.lower() / "best.keras").exists()
    assert Image.open(output / "predictions.png").size[0] > 600
    assert tf.saved_model.load("export/1").signatures["tensors"]
    printed = capsys.readouterr().out
    assert "without Keras, 100.00% of its pixels agree" in printed
    assert "| FCN " in printed


def test_export_folder_without_a_saved_model_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="does not contain a SavedModel"):
        quickstart.main(tmp_path / "runs", export=tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    assert not (tmp_path / "runs").exists()
