"""`python -m saved_models.export`: versions, and the model card."""

import json
import os
import sys

import pytest
import tyro

from keras_encnet.export import saved_model
from saved_models import export
from saved_models.provenance import scores_of
from tests.fixtures import small_encnet
from training import cli


@pytest.fixture
def run(tmp_path):
    """A run folder with a model, a configuration and two evaluations."""
    folder = tmp_path / "run"
    folder.mkdir()
    small_encnet().save(folder / "best.keras")
    (folder / "config.json").write_text('{"recipe": "Tiny"}')
    (folder / "evaluation-test").mkdir()
    (folder / "evaluation-test/scores.json").write_text('{"model": "best.keras", "mean_iou": 0.25}')
    (folder / "evaluation-val").mkdir()
    (folder / "evaluation-val/scores.json").write_text('{"model": "last.keras", "mean_iou": 0.75}')
    return folder


def call(*arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
    with cli.plain_errors():
        tyro.cli(export.main)


@pytest.mark.slow
def test_versions_are_numbered_and_not_overwritten(run, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "models"
    arguments = (run, "--name", "street", "--folder", folder, "--size", 16, 24)
    call(*arguments, monkeypatch=monkeypatch)
    assert str(folder / "street/1") in capsys.readouterr().out
    call(*arguments, "--version", "7", "--warm-up", monkeypatch=monkeypatch)
    assert {path.name for path in (folder / "street").iterdir()} == {
        "1",
        "7",
        "models.config",
        "batching.config",
    }
    assert (folder / "street/1/assets.extra/tf_serving_warmup_requests").exists()
    assert not (folder / "street/7/assets.extra").exists()
    assert export.checked_version(None, folder / "street") == 8
    card = (folder / "street/1/model_card.md").read_text()
    assert '"recipe": "Tiny"' in card
    assert str(tmp_path) not in card
    assert str(run) not in card
    assert '"mean_iou": 0.25' in card
    assert '"mean_iou": 0.75' not in card  # of another model of the run
    with pytest.raises(SystemExit, match="never overwritten"):
        call(*arguments, "--version", "7", monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "../street"), "name='../street'"),
        (("--name", "a", "--version", "0"), "version=0"),
        (("--name", "a", "--warm-up", "17"), "from 1 to 16"),
    ],
)
def test_invalid_arguments_are_reported_before_writing(
    arguments, message, run, tmp_path, monkeypatch
):
    with pytest.raises(SystemExit, match=message):
        call(run, *arguments, "--folder", tmp_path / "models", monkeypatch=monkeypatch)
    assert not (tmp_path / "models").exists()


def test_a_missing_package_is_reported_before_anything_is_computed(run, tmp_path, monkeypatch):
    imported = [name for name in sys.modules if name.startswith("tensorflow_serving")]
    for name in {*imported, "tensorflow_serving", "tensorflow_serving.apis"}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(saved_model, "InferenceNetwork", lambda *_: pytest.fail("computed"))
    with pytest.raises(SystemExit, match="`python -m pip install tensorflow-serving-api`"):
        call(run, "--name", "street", "--folder", tmp_path / "models", monkeypatch=monkeypatch)
    assert not (tmp_path / "models").exists()


def test_scores_from_a_json_file(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"iou": 1}))
    (tmp_path / "best.keras").touch()
    assert scores_of(tmp_path / "best.keras", tmp_path / "mine.json") == {"iou": 1}
    assert scores_of(tmp_path / "best.keras", None) is None


def test_scores_older_than_the_model_are_ignored(tmp_path):
    scores = tmp_path / "evaluation-test" / "scores.json"
    scores.parent.mkdir()
    scores.write_text(json.dumps({"model": "best.keras"}))
    (tmp_path / "best.keras").touch()
    os.utime(scores, (0, 0))
    assert scores_of(tmp_path / "best.keras", None) is None
