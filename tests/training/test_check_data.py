import html
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

from tests.training.folders import write_split
from training import check_data, cli
from training.configs import RECIPES
from training.input.folder import read_split
from training.input.split_lists import held_out
from training.tasks import checked_data

IGNORED = np.full((4, 6), 255, "uint8")


@pytest.fixture
def run(capsys):
    """Runs the command in this process; returns its exit status and its output."""

    def call(*arguments, **options):
        status = 0
        try:
            check_data.main(*arguments, **options)
        except SystemExit as error:
            print(error.code)
            status = 1 if isinstance(error.code, str) else error.code
        return status, capsys.readouterr().out

    return call


@pytest.mark.slow
def test_exit_status_and_report_of_the_command_line(tmp_path, run):
    write_split(tmp_path, {"a": (None, np.array([[0, 1, 3]], "uint8")), "b": (None, IGNORED)})
    command = [sys.executable, "-m", "training.check_data", str(tmp_path), "--splits", "train"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "train: 2 images, 1 of them bad" in done.stdout
    assert "a: the mask contains the ids 3" in done.stdout
    write_split(tmp_path, {"a": (None, np.array([[0, 1, 2]], "uint8")), "b": (None, IGNORED)})
    status, printed = run(tmp_path, ("train",))
    assert status == 0
    assert "train: 2 images, 0 of them bad" in printed
    assert "a: the mask" not in printed


def test_ignored_labels_and_skipped_images(tmp_path, run):
    write_split(tmp_path, {"a": (None, np.array([[0, 1, 3]], "uint8")), "b": (None, IGNORED)})
    assert run(tmp_path, allow_absent_classes=True)[0] == 1
    assert run(tmp_path, ignore_class=(3, 255), allow_absent_classes=True)[0] == 0
    write_split(tmp_path, {"c": (None, np.array([[0, 1, 2]], "uint8"))})
    (tmp_path / "train.txt").write_text("a\nb\nc")
    status, printed = run(tmp_path, skip_bad=True)
    assert status == 0
    assert "a: the mask contains" in printed
    (tmp_path / "train.txt").write_text("a")
    assert run(tmp_path, skip_bad=True)[0] == 1


def test_masks_of_0_and_255_need_a_map_of_labels(tmp_path, run):
    write_split(tmp_path, {"a": (None, np.array([[0, 255, 255]], "uint8"))}, ["ground", "object"])
    status, printed = run(tmp_path)
    assert status == 1
    assert "pass `--map-labels 255:1`" in printed
    assert run(tmp_path, map_labels=("255:1",))[0] == 0


def test_training_images_in_a_validation_split_are_reported(tmp_path, run):
    sample = (None, np.array([[0, 1, 2]], "uint8"))
    write_split(tmp_path, {"a": sample, "b": sample})
    write_split(tmp_path, {"b": sample, "c": sample}, name="val")
    status, printed = run(tmp_path)
    assert status == 0
    assert "1 of the 2 images of the split 'val' are in 'train' as well" in printed
    (tmp_path / "val.txt").write_text("b\na")
    status, printed = run(tmp_path)
    assert status == 1
    assert "Cannot be used for training: val" in printed


@pytest.mark.parametrize(
    ("mask", "remedy"),
    [
        ([[1, 2, 3]], "if ids start from 1, `python -m training.import_data"),
        ([[1, 2, 2]], "If the ids in the masks start from 1, `python -m training.import_data"),
        ([[0, 1, 1]], "`classes.txt` may have one name too many."),
        ([[0, 255, 255]], "or convert the masks with `python -m training.import_data"),
        ([[[0, 9, 9]] * 3], "`python -m training.import_data` converts masks of colors."),
    ],
)
def test_remedies_of_masks_from_other_tools_name_the_import(tmp_path, run, mask, remedy):
    write_split(tmp_path, {"a": (np.zeros((1, 3, 3), "uint8"), np.array(mask, "uint8"))})
    status, printed = run(tmp_path)
    assert status == 1
    assert remedy in printed


def test_classes_may_be_absent_outside_of_training_splits(tmp_path, run):
    sample = {"a": (None, np.array([[0, 1, 1]], "uint8"))}
    for name in ("trainaug", "val"):
        write_split(tmp_path, sample, name=name)
    status, printed = run(tmp_path)
    assert status == 1
    assert printed.count("cannot be learned: car") == 1
    assert "Cannot be used for training: trainaug\n" in printed
    assert run(tmp_path, allow_absent_classes=True)[0] == 0


def test_check_continues_after_an_unreadable_split(tmp_path, run):
    write_split(tmp_path, {"a": (None, IGNORED)})
    (tmp_path / "ahead.txt").write_text("a\nmissing")
    status, printed = run(tmp_path)
    assert status == 1
    assert "1 of 2 stems: missing" in printed
    assert "train: 1 images" in printed
    assert "Cannot be used for training: ahead" in printed


def test_folders_without_data_are_reported(tmp_path, run):
    status, printed = run(tmp_path / "nowhere")
    assert status == 1
    assert "does not exist" in printed
    status, printed = run(tmp_path)
    assert status == 1
    assert "`classes.txt`" in printed
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    status, printed = run(tmp_path)
    assert status == 1
    assert "no folder `images`" in printed
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    status, printed = run(tmp_path)
    assert status == 1
    assert "no split 'train'" in printed


def test_steps_of_a_training_are_stated(tmp_path, run):
    masks = {name: (None, np.array([[0, 1, 2]], "uint8")) for name in "ab"}
    write_split(tmp_path, masks)
    write_split(tmp_path, masks, name="val")
    _, printed = run(tmp_path)
    assert "\n  2 images in batches of 8; steps: 40 per epoch" in printed
    assert "\n  warning: with 2 images, expect scores that depend on" in printed


def test_steps_are_those_of_the_command_that_is_printed(tmp_path, run):
    masks = {str(i): (None, np.array([[0, 1, 2]], "uint8")) for i in range(400)}
    write_split(tmp_path, masks)
    _, printed = run(tmp_path)
    train = held_out("train", "val", 0.2)[0]
    images = len(read_split(tmp_path, train))
    assert 300 < images < 340
    assert f"\n  {images} images in batches of 8; steps: {max(images // 8, 40)} per" in printed
    write_split(tmp_path, masks, name="val")  # nothing is held out
    _, printed = run(tmp_path)
    assert "\n  400 images in batches of 8; steps: 50 per epoch" in printed


def test_bad_images_may_be_all_that_remains_for_training(tmp_path, run):
    masks = {str(i): (None, np.array([[0, 1, 2]], "uint8")) for i in range(8)}
    write_split(tmp_path, masks)
    for stem in read_split(tmp_path, "train[-20%]").stems:
        (tmp_path / f"labels/{stem}.png").write_bytes(b"damaged")
    status, printed = run(tmp_path, skip_bad=True)
    assert "steps: 40 per epoch" in printed
    for path in (tmp_path / "labels").iterdir():
        path.write_bytes(b"damaged")
    status, printed = run(tmp_path, skip_bad=True)
    assert status == 1
    assert "No image of the split can be used." in printed


def test_one_image_is_trained_and_validated_on(tmp_path, run):
    write_split(tmp_path, {"a": (None, np.array([[0, 1, 2]], "uint8"))})
    status, printed = run(tmp_path)
    assert status == 0
    assert "--val-split train" in printed
    assert "--val-share" not in printed
    with pytest.raises(ValueError, match="train.txt names one image only.*train.-20%."):
        read_split(tmp_path, "train[-20%]")


def test_class_that_would_be_held_out_is_named(tmp_path, run):
    masks = {str(i): (None, np.array([[0, 1, 0]], "uint8")) for i in range(8)}
    write_split(tmp_path, masks)
    [held, *_] = read_split(tmp_path, "train[20%]").stems
    write_split(tmp_path, {**masks, held: (None, np.array([[0, 1, 2]], "uint8"))})
    _, printed = run(tmp_path)
    assert "1 classes have no pixel in the images that remain for training: car." in printed


def test_a_page_is_written_to_the_folder_or_to_a_given_file(tmp_path, run):
    write_split(tmp_path / "data", {"a": (None, np.array([[0, 1, 2]], "uint8"))})
    for options, page in (
        ({}, tmp_path / "data/check_data.html"),
        ({"page": tmp_path / "pages/mine.html"}, tmp_path / "pages/mine.html"),
        ({"page": tmp_path / "pages"}, tmp_path / "pages/check_data.html"),
    ):
        status, printed = run(tmp_path / "data", **options)
        assert status == 0
        assert printed.endswith(f": {page}\n")
        assert "<h2>Sample" in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_does_not_fail_the_check(tmp_path, run, monkeypatch, capsys):
    def fail(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(checked_data, "save_data_page", fail)
    write_split(tmp_path, {"a": (None, np.array([[0, 1, 2]], "uint8"))})
    assert run(tmp_path)[0] == 0


def test_a_folder_without_a_data_set_gets_no_page(tmp_path, run):
    assert run(tmp_path / "typo")[0] == 1
    assert not (tmp_path / "typo").exists()
    assert run(tmp_path)[0] == 1
    assert not list(tmp_path.iterdir())


def test_the_command_of_a_training_reads_the_data_as_the_check_has(tmp_path, run):
    root = tmp_path / "my photos"
    write_split(root, {name: (None, np.array([[0, 1, 9]], "uint8")) for name in "abc"})
    options = {"ignore_class": (9, 255), "map_labels": ("7:1",), "allow_absent_classes": True}
    status, printed = run(root, skip_bad=True, **options)
    assert status == 0
    (command,) = re.findall(r"python -m training.train (.*)", printed)
    name, config = cli.choose(RECIPES, shlex.split(command))
    assert name == "folder_encnet50"
    assert (config.data, config.val_share, config.skip_bad) == (str(root), 0.2, True)
    assert {key: getattr(config, key) for key in options} == options
    assert html.escape(command) in (root / "check_data.html").read_text(encoding="utf-8")
