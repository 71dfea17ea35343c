"""`python -m saved_models.batch`: every image once, whatever happened to earlier calls."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tyro
from PIL import Image

from saved_models import batch
from saved_models.beam import files, pipeline, run
from tests.saved_models.beam.memory import MemoryFileSystem
from training import cli

ROOT = Path(__file__).parents[3]
NAMES = {"a/1.jpg", "a/2.png", "b [x]/1.jpg", "b [x]/1.png"}
FAILED = {"a/broken.jpg", "a/empty.jpg"}


def call(*arguments):
    """Runs the command as its `__main__` does, and returns its exit status."""
    try:
        with cli.plain_errors():
            parsed = tyro.cli(
                batch.Arguments, args=[*map(str, arguments)], return_unknown_args=True
            )
            batch.main(*parsed)
    except SystemExit as ending:
        return ending.code
    return 0


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(folder, suffix):
    return {p.relative_to(folder).as_posix() for p in folder.rglob(f"*{suffix}") if p.is_file()}


def times(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def output(photos, models, tmp_path):
    """The output of a first call."""
    folder = tmp_path / "out"
    assert call(photos, folder, "--model", models) == 1  # some images have no prediction
    return folder


def test_masks_and_records_are_those_of_the_model(output, photos, models):
    records = {os.path.relpath(r["image"], photos): r for r in lines(output / "predictions.jsonl")}
    assert records.keys() == NAMES
    assert {f"{name}.png" for name in NAMES} == names(output / "masks", ".png")
    served = tf.saved_model.load(models / "2").signatures["serving_default"]
    for name, record in records.items():
        expected = served(image_bytes=tf.constant([(photos / name).read_bytes()]))
        mask = (output / record["mask"]).read_bytes()
        assert mask == expected["mask_png_bytes"].numpy()[0]
        assert list(record["presence"]) == ["sky", "tree", "road"]
        assert list(record["presence"].values()) == pytest.approx(expected["presence"].numpy()[0])
        classes = np.asarray(Image.open(output / record["mask"]))
        assert sum(record["shares"].values()) == pytest.approx(1)
        assert record["shares"].get("sky", 0) == pytest.approx((classes == 0).mean())
        assert json.loads((output / f"records/{name}.json").read_text()) == record


def test_images_without_a_prediction_are_listed_with_the_reason(output, photos):
    errors = {
        os.path.relpath(r["image"], photos): r["error"] for r in lines(output / "errors.jsonl")
    }
    assert errors.keys() == FAILED
    assert errors["a/broken.jpg"].startswith("Not a JPEG, PNG, GIF or BMP image.")
    assert errors["a/empty.jpg"] == "the file is empty"


def test_second_call_predicts_what_is_missing_changed_or_damaged(output, photos, models, capsys):
    (output / "masks/a/1.jpg.png").unlink()
    (output / "records/a/2.png.json").write_text('{"image":')
    os.utime(photos / "b [x]/1.jpg", (2**32, 2**32))
    (output / "masks/a/.tmp-0123").touch()  # of a killed process
    (photos / "a/broken.jpg").write_bytes((photos / "a/1.jpg").read_bytes())
    before = times(output)
    assert call(photos, output, "--model", models) == 1
    assert "4 images predicted, 1 in earlier calls, 1 failed" in capsys.readouterr().out
    changed = {
        p.relative_to(output).as_posix() for p, t in times(output).items() if before.get(p) != t
    }
    assert changed == {
        *(f"masks/{name}.png" for name in ("a/1.jpg", "a/2.png", "b [x]/1.jpg", "a/broken.jpg")),
        *(f"records/{name}.json" for name in ("a/1.jpg", "a/2.png", "b [x]/1.jpg", "a/broken.jpg")),
        "predictions.jsonl",
        "errors.jsonl",
    }
    assert len(lines(output / "predictions.jsonl")) == 5
    assert len(lines(output / "errors.jsonl")) == 1
    assert not (output / "masks/a/.tmp-0123").exists()


def test_failed_call_leaves_complete_files_and_is_resumed(photos, models, tmp_path, monkeypatch):
    write, written = files.write, []

    def full_disk(path, content):
        if len(written) == 5:
            raise OSError("No space left on device")
        written.append(path)
        write(path, content)

    monkeypatch.setattr(files, "write", full_disk)
    output = tmp_path / "out"
    message = call(photos, output, "--model", models)
    assert "The pipeline failed" in message
    assert "No space left" in message
    assert "The same command" in message
    assert {str(path) for path in times(output)} == set(written)
    done = names(output / "records", ".json")
    before = times(output / "records")
    monkeypatch.setattr(files, "write", write)
    assert call(photos, output, "--model", models) == 1
    assert names(output / "records", ".json") == {f"{name}.json" for name in NAMES}
    kept = {p for p, t in times(output / "records").items() if before.get(p) == t}
    assert {p.relative_to(output / "records").as_posix() for p in kept} == done


def test_interrupted_call_ends_with_a_sentence(photos, models, tmp_path, monkeypatch, capsys):
    def terminate(path, content):
        raise cli.Terminated

    output = tmp_path / "out"
    monkeypatch.setattr(pipeline.files, "write", terminate)
    monkeypatch.setattr(run, "claim_output", lambda folder, root, *unused: root)
    assert call(photos, output, "--model", models) == 143
    printed = capsys.readouterr().err
    assert "Interrupted. The same command predicts the images" in printed
    assert "Traceback" not in printed
    assert not times(output)


def test_output_belongs_to_one_model_and_one_folder(output, photos, models, capsys):
    for arguments, value in (
        ((photos, output, "--model", models, "--version", 1), "street/1"),
        ((photos.parent / "*/a/*.jpg", output, "--model", models), "images in"),
    ):
        message = call(*arguments)
        assert "The output folder contains predictions of" in message
        assert "choose another one. Received: output=" in message
        assert value in message
    capsys.readouterr()
    # A part of the same images has the same names.
    assert call(photos / "a" / "*.jpg", output, "--model", models) == 1
    assert "0 images predicted, 1 in earlier calls, 3 failed" in capsys.readouterr().out


@pytest.mark.parametrize("place", [".", "out"])
def test_output_in_the_folder_of_the_images_is_not_predicted(place, photos, models, capsys):
    for predicted, earlier in ((4, 0), (0, 4)):
        assert call(photos / "**", photos / place, "--model", models) == 1
        printed = capsys.readouterr().out
        assert f"{predicted} images predicted, {earlier} in earlier calls, 4 failed" in printed


def test_images_output_and_model_on_another_file_system(photos, models, monkeypatch, capsys):
    objects = MemoryFileSystem.FILES
    objects.clear()
    for path in (*photos.rglob("*"), *models.rglob("*")):
        if path.is_file():
            name = path.relative_to(photos.parent if photos in path.parents else models.parent)
            objects[f"memory://bucket/{name}"] = (path.read_bytes(), 0)
    objects["memory://bucket/photos/../up.jpg"] = ((photos / "a/1.jpg").read_bytes(), 0)
    arguments = (
        "memory://bucket/photos/**.[jp][pn]g",
        "memory://bucket/out",
        "--model",
        "memory://bucket/street",
    )
    assert call(*arguments) == 1
    assert "5 images predicted, 0 in earlier calls, 3 failed" in capsys.readouterr().out
    masks = {name for name in objects if name.startswith("memory://bucket/out/masks/")}
    assert {f"memory://bucket/out/masks/{name}.png" for name in NAMES} < masks
    assert not any(".tmp-" in name or "/../" in name for name in masks)
    assert call(*arguments) == 1
    assert "0 images predicted, 5 in earlier calls, 3 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--modell", "x"), r"nor of Apache Beam.*Received: \['modell'\]"),
        (("surplus",), r"nor of Apache Beam.*Received: \['surplus'\]"),
        (("--version", 3), r"versions \[1, 2\]. Received: model=.*version=3"),
        (("--runner", "DataflowRunner"), "machines of Dataflow cannot read.*Received: images="),
        (("--direct_running_mode", "other"), "2"),
    ],
)
def test_invalid_options_are_refused_before_anything_is_written(
    options, message, photos, models, tmp_path
):
    ending = call(photos, tmp_path / "out", "--model", models, *options)
    assert re.search(message, str(ending))
    assert not (tmp_path / "out").exists()


def test_paths_without_images_or_models_are_refused(photos, models, tmp_path):
    for images, model, message in (
        (photos / "*.jpg", models, "No file matches.*Received: images="),
        (tmp_path / "nothing", models, "No file matches"),
        (photos, photos, r"Expected an exported SavedModel.*versions \[\]"),
        ("nothing://bucket/*", models, "nothing://bucket"),
    ):
        assert re.search(message, call(images, tmp_path / "out", "--model", model))
    assert not (tmp_path / "out").exists()


def test_folder_without_images_is_an_error(photos, models, tmp_path):
    for path in photos.glob("*/*.*g"):
        path.unlink()
    assert "No image was found" in call(photos, tmp_path / "out", "--model", models)


@pytest.mark.slow
def test_worker_processes_write_what_one_process_writes(output, photos, models, tmp_path):
    parallel = tmp_path / "parallel"
    command = [sys.executable, "-m", "saved_models.batch", photos, parallel, "--model", models]
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    ended = subprocess.run([*command, *workers], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    assert "4 images predicted, 0 in earlier calls, 2 failed" in ended.stdout
    for path in output.rglob("*"):
        if path.suffix in (".png", ".json"):
            assert (parallel / path.relative_to(output)).read_bytes() == path.read_bytes()
    for name in ("predictions.jsonl", "errors.jsonl"):
        ours, theirs = ((folder / name).read_text() for folder in (output, parallel))
        assert sorted(ours.splitlines()) == sorted(theirs.splitlines())
