import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.training.importing.exports import imported, reasons, square, write_image, write_json


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def write_labelme(root, shapes, stem="a", size=(8, 6), image=True, **more):
    if image:
        write_image(root / f"{stem}.jpg", size)
    content = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": f"{stem.rpartition('/')[-1]}.jpg",
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
    }
    return write_json(root / f"{stem}.json", content | more)


def encoded(image, format="PNG"):
    data = io.BytesIO()
    image.save(data, format)
    return base64.b64encode(data.getvalue()).decode()


def test_later_shapes_cover_earlier_ones(tmp_path):
    write_labelme(
        tmp_path / "in", [shape("road", square(0, 0, 7, 5)), shape("car", square(2, 2, 4, 4))]
    )
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert report.format == "labelme"
    assert report.classes == ("car", "road")
    assert (mask[2:5, 2:5] == "car").all()
    assert (mask == "road").sum() == 48 - 9


def test_special_labels_are_ignored_or_background(tmp_path):
    write_labelme(
        tmp_path / "in",
        [
            shape("car", square(0, 0, 3, 3)),
            shape("_background_", square(1, 1, 1, 1)),
            shape("__ignore__", square(5, 0, 7, 5)),
        ],
    )
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert report.classes == ("_background_", "car")
    assert mask[1, 1] == mask[5, 0] == "_background_"  # a hole, and no annotation
    assert (mask[:, 5:] == "").all()


def test_every_shape_with_an_area_is_drawn(tmp_path):
    stamp = Image.fromarray(np.array([[255, 0], [255, 255]], "uint8"))
    write_labelme(
        tmp_path / "in",
        [
            shape("rectangle", [[3, 3], [1, 1]], "rectangle"),
            shape("circle", [[16, 6], [16, 9]], "circle"),
            shape("mask", [[0, 10], [1, 11]], "mask", mask=encoded(stamp)),
            shape("line", [[0, 0], [5, 5]], "line"),
        ],
        size=(24, 12),
    )
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert (mask[1:4, 1:4] == "rectangle").all()
    assert (mask == "rectangle").sum() == 9
    rows, columns = np.nonzero(mask == "circle")
    assert (np.hypot(rows - 6, columns - 16) <= 3.5).all()
    assert 25 <= len(rows) <= 37
    assert (mask[10:, :2] == "mask").tolist() == [[True, False], [True, True]]
    assert "a line has no area" in reasons(report)["a.json: shape 3 (line)"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (shape("x", [[0, 0], [1e9, 1e9]], "circle"), "two finite points"),
        (shape("x", [[0, 0]], "rectangle"), "two finite points"),
        (shape("x", [[0, 0], [1, 1]]), "2 points"),
        (shape("x", [[0, 0], [1, 1]], "mask", mask="bm8gaW1hZ2U="), "cannot identify"),
        ({"points": [], "label": "x"}, "0 points"),
        ({"points": None, "label": "x"}, "no pairs of numbers"),
        ({"label": "x"}, "the key 'points' is missing"),
    ],
)
def test_damaged_shapes_are_skipped_with_the_reason(tmp_path, bad, reason):
    write_labelme(tmp_path / "in", [shape("car", square(0, 0, 1, 1)), bad])
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert reason in reasons(report)["a.json: shape 1 (x)"]


def test_composed_and_decomposed_labels_are_one_class(tmp_path):
    write_labelme(tmp_path / "in", [shape("Stra\u00dfe f\u00fcr", square(0, 0, 3, 3))], "a")
    write_labelme(tmp_path / "in", [shape("Stra\u00dfe fu\u0308r ", square(0, 0, 3, 3))], "b")
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert report.classes == ("background", "Stra\u00dfe f\u00fcr")


def test_listed_labels_come_first_in_the_order_of_the_list(tmp_path):
    shapes = [shape(name, square(i, 0, i, 0)) for i, name in enumerate(("a", "b", "c"))]
    write_labelme(tmp_path / "in", shapes)
    (tmp_path / "in/labels.txt").write_bytes("__ignore__\r\n_background_\r\nb\r\n".encode("utf-16"))
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert report.classes == ("_background_", "b", "a", "c")


@pytest.mark.parametrize("path", ["..\\images\\a.jpg", "/home/someone/a.JPG", "a.png"])
def test_images_are_found_by_name_inside_the_export_only(tmp_path, path):
    write_labelme(
        tmp_path / "in", [shape("car", square(0, 0, 3, 3))], "json/a", image=False, imagePath=path
    )
    write_image(tmp_path / "in/images/a.jpg")
    write_image(tmp_path / "images/a.jpg", (3, 3))  # outside
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert report.sources == {"a": "images/a.jpg"}
    assert masks["a"].shape == (6, 8)


def test_the_image_in_the_file_is_used_if_there_is_no_other(tmp_path):
    image = encoded(Image.new("RGB", (8, 6), (1, 2, 3)))
    write_labelme(tmp_path / "in", [shape("car", square(0, 0, 3, 3))], image=False, imageData=image)
    write_labelme(tmp_path / "in", [shape("car", square(0, 0, 3, 3))], "b", image=False)
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    with Image.open(tmp_path / "out/images/a.png") as written:
        assert written.getpixel((0, 0)) == (1, 2, 3)
    assert "there is no image 'b.jpg'" in reasons(report)["b.json"]


def test_images_of_one_name_stay_apart(tmp_path):
    for folder, label in (("x", "car"), ("y", "road")):
        write_labelme(tmp_path / "in", [shape(label, square(0, 0, 3, 3))], f"{folder}/a")
    _, masks = imported(tmp_path / "in", tmp_path / "out")
    assert masks["x/a"][0, 0] == "car"
    assert masks["y/a"][0, 0] == "road"


def test_damaged_files_are_skipped_with_the_reason(tmp_path):
    write_labelme(tmp_path / "in", [shape("car", square(0, 0, 3, 3))])
    (tmp_path / "in/b.json").write_text("{")
    (tmp_path / "in/c.json").write_text("[" * 100_000)
    (tmp_path / "in/d.json").write_text("{}")
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    found = reasons(report)
    assert "not valid JSON" in found["b.json"]
    assert "not valid JSON" in found["c.json"]
    assert "not a Labelme file" in found["d.json"]
