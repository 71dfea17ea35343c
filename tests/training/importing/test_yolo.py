import numpy as np
import pytest

from tests.training.importing.exports import imported, lines, reasons, write_image


def write_yolo(root, text, stem="train/{}/a", size=(10, 10)):
    write_image(root / f"{stem.format('images')}.jpg", size)
    if text is not None:
        path = root / f"{stem.format('labels')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_names(root, text="names: [road, car]\ntrain: ../train/images\n"):
    root.mkdir(parents=True, exist_ok=True)
    (root / "data.yaml").write_text(text)


CAR = "1 0.2 0.2 0.5 0.2 0.5 0.5 0.2 0.5\n"
ROAD = "0 0 0 1 0 1 1 0 1\n"


@pytest.mark.parametrize("layout", ["train/{}/a", "{}/train/a", "{}/a"])
def test_polygons_are_scaled_and_smaller_ones_are_on_top(tmp_path, layout):
    write_names(tmp_path / "in", "names:\n  0: road\n  1: car\n")
    write_yolo(tmp_path / "in", CAR + ROAD, layout)
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    (mask,) = masks.values()
    assert report.format == "yolo"
    assert report.classes == ("road", "car")
    assert (mask[2:5, 2:5] == "car").all()
    assert (mask == "road").sum() == 91


def test_images_without_a_text_file_are_background(tmp_path):
    write_names(tmp_path / "in")
    write_yolo(tmp_path / "in", CAR)
    write_yolo(tmp_path / "in", None, "train/{}/b")
    write_yolo(tmp_path / "in", "", "train/{}/c")
    (tmp_path / "in/train/labels/d.txt").write_text(CAR)
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"a", "b", "c"}
    assert (masks["b"] == "background").all()
    assert "1 images have no text file, that is, no object." in report.notes
    assert "no image for the annotation" in reasons(report)["train/labels/d.txt"]


def test_the_annotation_of_another_split_is_not_used(tmp_path):
    write_names(tmp_path / "in")
    write_yolo(tmp_path / "in", CAR, "{}/train/a")
    write_yolo(tmp_path / "in", None, "{}/val/b")
    write_yolo(tmp_path / "in", CAR, "{}/train/b")
    (tmp_path / "in/images/train/b.jpg").unlink()
    _, masks = imported(tmp_path / "in", tmp_path / "out")
    assert (masks["val/b"] == "background").all()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1 20 20 50 20 50 50", "not shares"),
        ("1 nan 0.2 0.5 0.2 0.5 0.5", "not shares"),
        ("1 0.2 0.2 0.5 0.2 0.5", "no pairs"),
        ("7 0.2 0.2 0.5 0.2 0.5 0.5", "the class 7 has no name"),
        ("1.5 0.2 0.2 0.5 0.2 0.5 0.5", "no class and polygon"),
        ("car 0.2", "no class and polygon"),
    ],
)
def test_damaged_lines_are_skipped_with_the_reason(tmp_path, line, reason):
    write_names(tmp_path / "in")
    write_yolo(tmp_path / "in", CAR)
    write_yolo(tmp_path / "in", f"{CAR}{line}\r\n", "train/{}/b")
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert reason in reasons(report)["train/labels/b.txt: line 2"]


def test_boxes_are_ignored(tmp_path):
    write_names(tmp_path / "in")
    write_yolo(tmp_path / "in", CAR + "0 0.8 0.8 0.4 0.4\n")
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    np.testing.assert_array_equal(np.argwhere(masks["a"] == "").min(0), [6, 6])
    assert (masks["a"] == "").sum() == 16
    assert "1 of 2 objects have a box" in report.notes[0]


def test_names_and_splits_may_be_lists(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/obj.names").write_text("road\ncar\n")
    for stem in ("a", "b", "c"):
        write_yolo(tmp_path / "in", CAR + ROAD, f"{{}}/{stem}")
    (tmp_path / "in/train.txt").write_text(
        "images/a.jpg\n/elsewhere/images/b.jpg\n../../../c.jpg\n"
    )
    (tmp_path / "in/valid.txt").write_text("images/c.jpg\nimages/d.jpg\n")
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert report.classes == ("road", "car")
    assert lines(tmp_path / "out/train.txt") == ["a", "b"]
    assert lines(tmp_path / "out/val.txt") == ["c"]
    assert "there is no image" in reasons(report)["valid.txt: images/d.jpg"]


def test_yaml_does_not_build_objects(tmp_path):
    write_names(tmp_path / "in", "names: !!python/object/apply:os.getcwd []\n")
    write_yolo(tmp_path / "in", CAR + ROAD)
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert "not valid YAML" in reasons(report)["data.yaml"]
    assert report.classes == ("class 0", "class 1")
