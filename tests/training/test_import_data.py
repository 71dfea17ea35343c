import errno
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.training.importing.exports import imported, write_image, write_mask
from training import import_data
from training.importing import conversion, writing
from training.importing.writing import Splitting
from training.input.data_check import FolderCheck


def write_export(root, stems=("p1_a", "p1_b", "p2_a", "p2_b", "p3_a")):
    for i, stem in enumerate(stems):
        write_image(root / f"images/{stem}.jpg", (2, 2))
        write_mask(root / f"masks/{stem}.png", [[0, 255], [255, i % 2 * 255]])


def test_the_report_lists_what_was_converted_and_skipped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(import_data, "check_folder", lambda folder, **options: FolderCheck(folder))
    write_export(tmp_path / "in")
    write_image(tmp_path / "in/images/extra.jpg")
    options = {"split": ("train=0.6", "val=0.4"), "group": "p\\d"}
    import_data.main(tmp_path / "in", tmp_path / "out", **options)
    printed = capsys.readouterr()
    for line in ("Format: binary", "extra.jpg: there is no mask", "Written to"):
        assert line in printed.out
    assert "Converting" in printed.err
    report = json.loads((tmp_path / "out/import.json").read_text())
    assert report["classes"] == ["background", "object"]
    assert report["skipped"][0][0] == "images/extra.jpg"
    assert report["sources"]["p1_a"] == "images/p1_a.jpg"


@pytest.mark.slow
def test_the_command_line_reports_errors_without_a_traceback(tmp_path):
    write_export(tmp_path / "in")
    command = [sys.executable, "-m", "training.import_data", str(tmp_path / "in")]
    for options, status, text in (
        (["--seed", "1"], 0, "Written to"),
        (["--drop", "bus"], 1, "error: `--drop` names a class that the export does not have."),
    ):
        done = subprocess.run(
            [*command, str(tmp_path / f"out{status}"), *options],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert text in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_an_output_that_the_check_refuses_exits_with_1(tmp_path, capsys):
    write_image(tmp_path / "in/train/images/a.jpg", (2, 1))
    write_mask(tmp_path / "in/train/masks/a.png", [[0, 0]])
    write_image(tmp_path / "in/val/images/a.jpg", (2, 1))
    write_mask(tmp_path / "in/val/masks/a.png", [[0, 1]])
    with pytest.raises(SystemExit, match="Cannot be used for training: train"):
        import_data.main(tmp_path / "in", tmp_path / "out")
    assert "cannot be learned: object" in capsys.readouterr().out
    assert (tmp_path / "out/classes.txt").exists()


def test_existing_outputs_and_those_inside_of_the_export_are_refused(tmp_path):
    write_export(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").touch()
    with pytest.raises(FileExistsError, match="must not exist.*Received: output="):
        import_data.main(tmp_path / "in", tmp_path / "out")
    with pytest.raises(ValueError, match="must not be inside the export"):
        import_data.main(tmp_path / "in", tmp_path / "in/out")


def test_nothing_is_left_of_an_import_that_fails(tmp_path, monkeypatch):
    write_export(tmp_path / "in")
    monkeypatch.setattr(writing, "_split", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        imported(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_full_disk_ends_the_import(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    write_export(tmp_path / "in")
    monkeypatch.setattr(conversion, "write_mask", fail)
    with pytest.raises(OSError, match="No space left"):
        imported(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_export_without_a_usable_image_is_refused_with_the_reasons(tmp_path):
    write_image(tmp_path / "in/images/a.jpg")
    write_mask(tmp_path / "in/masks/a.png", [[0, 255]])
    with pytest.raises(ValueError, match=r"(?s)No image can be converted.*8x6 pixels.*2x1"):
        imported(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_groups_of_the_splits_of_the_export_must_not_be_shared(tmp_path):
    for path in ("train/{}/p1_a", "val/{}/p1_b"):
        write_image(tmp_path / f"in/{path.format('images')}.jpg", (2, 1))
        write_mask(tmp_path / f"in/{path.format('masks')}.png", [[0, 255]])
    with pytest.raises(ValueError, match=r"share the group 'p1'. Pass `--split`"):
        imported(tmp_path / "in", tmp_path / "out", splitting=Splitting(group=".*(p\\d)"))


def test_absent_classes_are_left_out_unless_they_are_kept(tmp_path):
    write_image(tmp_path / "in/images/a.jpg", (3, 1))
    write_mask(tmp_path / "in/masks/a.png", [[1, 3, 255]])
    (tmp_path / "in/classes.txt").write_text("sky\nroad\ncar\nbus\n\n")
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert report.classes == ("road", "bus")
    assert mask.tolist() == [["road", "bus", ""]]
    assert "sky, car" in report.notes[0]
    report, mask = imported(tmp_path / "in", tmp_path / "all", "a", keep_absent_classes=True)
    assert report.classes == ("sky", "road", "car", "bus")
    assert mask.tolist() == [["road", "bus", ""]]


def test_more_than_255_classes_have_masks_of_16_bits(tmp_path):
    write_image(tmp_path / "in/images/a.jpg", (300, 1))
    write_image(tmp_path / "in/images/b.jpg", (2, 1))

    (tmp_path / "in/masks").mkdir()
    Image.fromarray(np.arange(300, dtype="uint16")[None]).save(tmp_path / "in/masks/a.png")
    write_mask(tmp_path / "in/masks/b.png", [[0, 1]])
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert report.ignored_label == 65535
    assert (masks["a"] == "").sum() == 1  # 255
    assert masks["a"][0, 299] == "class 299"
    assert "`--ignore-class 65535`" in str(report)
