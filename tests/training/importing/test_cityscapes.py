import numpy as np

from tests.training.importing.exports import imported, reasons, square, write_image, write_json


def write_city(root, objects, name="bern_000000_000019", split="train", kind="gtFine", image=True):
    city = name.split("_")[0]
    if image:
        write_image(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png")
    content = {
        "imgHeight": 6,
        "imgWidth": 8,
        "objects": [
            {"label": label, "polygon": points, **dict.fromkeys(more, 1)}
            for label, points, *more in objects
        ],
    }
    write_json(root / f"{kind}/{split}/{city}/{name}_{kind}_polygons.json", content)


ROAD = ("road", square(0, 0, 7, 3))


def test_later_polygons_cover_earlier_ones_and_the_rest_is_ignored(tmp_path):
    car = ("cargroup", square(1, 1, 2, 2))
    write_city(
        tmp_path / "in",
        [ROAD, car, ("trailer", square(4, 0, 5, 1)), ("car", square(0, 0, 7, 5), "deleted")],
    )
    write_city(tmp_path / "in", [ROAD, car], "ulm_000000_000019", "val")
    report, masks = imported(tmp_path / "in", tmp_path / "out", keep_absent_classes=True)
    assert report.format == "cityscapes"
    assert len(report.classes) == 19
    assert report.classes[:2] == ("road", "sidewalk")
    assert report.images == {"train": 1, "val": 1}
    mask = masks["train/bern/bern_000000_000019_leftImg8bit"]
    assert (mask[1:3, 1:3] == "car").all()
    assert (mask[:2, 4:6] == "").all()
    assert (mask[4:] == "").all()
    assert (mask == "road").sum() == 32 - 4 - 4


def test_damaged_objects_do_not_affect_others(tmp_path):
    write_city(tmp_path / "in", [ROAD, ("car", square(1, 1, 2, 2)), ("car", [[0, 0]])])
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert report.classes == ("road", "car")
    ((name, reason),) = report.skipped
    assert name.endswith("_polygons.json: object 2")
    assert "1 points" in reason


def test_other_labels_become_classes(tmp_path):
    write_city(tmp_path / "in", [("lava", square(0, 0, 7, 3)), ("out of roi", square(0, 0, 0, 5))])
    write_city(
        tmp_path / "in", [("ash", square(0, 0, 7, 3)), ("ash group", square(0, 4, 7, 5))], "b"
    )
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert report.classes == ("ash", "lava")
    assert (masks["b/b_leftImg8bit"] == "ash").all()
    assert (masks["bern/bern_000000_000019_leftImg8bit"][:, 0] == "").all()


def test_annotations_without_an_image_and_coarse_ones_are_skipped(tmp_path):
    car = ("car", square(1, 1, 2, 2))
    write_city(tmp_path / "in", [ROAD, car])
    write_city(tmp_path / "in", [car], kind="gtCoarse")
    write_city(tmp_path / "in", [car], "bonn_000000_000019", image=False)
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert len(masks) == 1
    assert np.sum(next(iter(masks.values())) == "road") == 28
    found = reasons(report)
    path = "gtFine/train/bonn/bonn_000000_000019_gtFine_polygons.json"
    assert "no image" in found[path]
    assert "fine" in found["gtCoarse/train/bern/bern_000000_000019_gtCoarse_polygons.json"]
