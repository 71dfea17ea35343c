import json

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from tests.training.importing.exports import (
    flat,
    imported,
    lines,
    reasons,
    square,
    write_image,
    write_json,
)
from training.importing.formats.coco import _decompressed
from training.importing.shapes import Polygons, Shapes

CATEGORIES = [{"id": 7, "name": "car"}, {"id": 3, "name": "road"}]


def write_coco(root, annotations, images=("a.jpg",), file="annotations.json", size=(8, 6), **more):
    """Writes an export whose annotations are of the first image unless they name another."""
    content = {
        "images": [
            {"id": i, "file_name": name, "width": size[0], "height": size[1]}
            for i, name in enumerate(images)
        ],
        "categories": CATEGORIES,
        "annotations": [
            {"id": i, "image_id": 0, "iscrowd": 0, **annotation}
            for i, annotation in enumerate(annotations)
        ],
    }
    for name in images:
        write_image(root / name, size)
    return write_json(root / file, content | more)


def polygon_of(category, *polygons, **more):
    return {"category_id": category, "segmentation": [flat(p) for p in polygons], **more}


def test_polygons_are_filled_and_categories_are_in_the_order_of_their_ids(tmp_path):
    road, car = polygon_of(3, square(0, 3, 8, 6)), polygon_of(7, square(2, 1, 5, 3))
    write_coco(tmp_path / "in", [road, car])
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert report.format == "coco"
    assert report.classes == ("background", "road", "car")
    assert (mask[3:] == "road").all()
    assert (mask[1:3, 2:5] == "car").all()
    assert (mask == "background").sum() == 48 - 24 - 6


def test_smaller_objects_are_on_top_and_crowds_at_the_bottom(tmp_path):
    small, large = square(0, 0, 2, 2), square(0, 0, 4, 4)
    crowd = np.zeros((6, 8), "uint8", order="F")
    crowd[0, 0] = 1
    code = coco_masks.encode(crowd)
    write_coco(
        tmp_path / "in",
        [
            polygon_of(7, small),
            polygon_of(3, large),
            {
                "category_id": 3,
                "iscrowd": 1,
                "segmentation": {"size": [6, 8], "counts": code["counts"].decode()},
            },
        ],
    )
    _, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert (mask[:2, :2] == "car").all()
    assert (mask == "road").sum() == 12


@pytest.mark.parametrize("compressed", [True, False])
def test_run_length_codes_are_decoded_with_their_holes(tmp_path, compressed):
    ring = np.zeros((6, 8), "uint8", order="F")
    ring[1:5, 1:6], ring[2:4, 3] = 1, 0
    code = coco_masks.encode(ring)
    counts = code["counts"].decode() if compressed else _decompressed(code["counts"].decode())
    outline = {"size": [6, 8], "counts": counts}
    write_coco(tmp_path / "in", [{"category_id": 7, "segmentation": outline}])
    _, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    np.testing.assert_array_equal(mask == "car", ring.astype(bool))


def test_compressed_runs_are_those_of_pycocotools(rng):
    for density in (0.01, 0.5, 0.99):
        pixels = np.asfortranarray(rng.random((37, 53)) < density, "uint8")
        runs = _decompressed(coco_masks.encode(pixels)["counts"].decode())
        again = np.repeat(np.arange(len(runs)) % 2, runs).reshape(53, 37).T
        np.testing.assert_array_equal(again, pixels)


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        ({"size": [6, 8], "counts": [10, 5]}, "does not cover"),
        ({"size": [6, 8], "counts": [60, -12]}, "does not cover"),
        ({"size": [6, 8], "counts": "0"}, "does not cover"),
        ({"size": [6, 8], "counts": "oooooooooooooooooo"}, "damaged"),
        ({"size": [6, 8], "counts": "é"}, "ascii"),
        ({"size": [600, 800], "counts": [480000]}, "the size of the run-length code"),
        ([[1, 1, 5, 5]], "2 points"),
        ([[1, 1, 5, 5, 3]], "no pairs"),
        ([["a", 1, 5, 5, 3, 3]], "no pairs"),
        ([[float("nan"), 1, 5, 5, 3, 3]], "not finite"),
        ([], "neither an outline nor a box"),
    ],
)
def test_damaged_outlines_are_skipped_with_the_reason(tmp_path, outline, reason):
    write_coco(
        tmp_path / "in",
        [polygon_of(7, square(0, 0, 2, 2)), {"category_id": 3, "segmentation": outline}],
    )
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert reason in reasons(report)["annotations.json: annotation 1"]
    assert (mask == "car").sum() == 4


def test_polygons_outside_of_the_image_are_cut(tmp_path):
    far = [[-1e9, 2], [1e9, 2], [1e9, 1e9], [-1e9, 1e9]]
    write_coco(tmp_path / "in", [polygon_of(3, far), polygon_of(7, square(-3, -3, 2, 1))])
    _, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert (mask[2:] == "road").all()
    assert (mask[0, :2] == "car").all()
    assert (mask == "car").sum() == 2


def test_polygons_of_one_object_are_united(tmp_path):
    write_coco(tmp_path / "in", [polygon_of(7, square(0, 0, 2, 2), square(1, 1, 3, 3))])
    _, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert (mask == "car").sum() == 7


@pytest.mark.parametrize("damaged", [None, "x", [], {}, {"image_id": []}, {"image_id": 0}])
def test_damaged_annotations_do_not_affect_others(tmp_path, damaged):
    path = write_coco(tmp_path / "in", [polygon_of(7, square(0, 0, 2, 2))])
    content = json.loads(path.read_text())
    content["annotations"].insert(0, damaged)
    path.write_text(json.dumps(content))
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert set(reasons(report)) == {"annotations.json: annotation 0"}
    assert (mask == "car").sum() == 4


def test_windows_around_polygons_do_not_change_them(rng):
    for _ in range(20):
        points = rng.uniform(-20, 60, (int(rng.integers(3, 9)), 2))
        whole = coco_masks.decode(
            coco_masks.merge(coco_masks.frPyObjects([points.ravel().tolist()], 40, 50))
        )
        shape = Shapes([Polygons("car", [points])], smallest_on_top=True)
        drawn = shape.draw((50, 40), {"car": 1, None: 255}, 0)
        np.testing.assert_array_equal(drawn, whole)


def test_boxes_without_an_outline_are_ignored(tmp_path):
    write_coco(
        tmp_path / "in",
        [
            polygon_of(7, square(0, 0, 2, 2)),
            {"category_id": 3, "segmentation": [], "bbox": [4, 2, 3, 4]},
        ],
    )
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert (mask[2:, 4:7] == "").all()
    assert (mask == "").sum() == 12
    assert any("1 of 2 objects have a box but no outline" in note for note in report.notes)


def test_an_export_of_boxes_is_refused(tmp_path):
    write_coco(tmp_path / "in", [{"category_id": 3, "segmentation": [], "bbox": [4, 2, 3, 4]}])
    with pytest.raises(ValueError, match=r"two classes with pixels.*1 of 1 objects have a box"):
        imported(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_without_annotations_are_background_and_orphans_are_skipped(tmp_path):
    annotations = [polygon_of(7, square(0, 0, 2, 2)), polygon_of(7, square(0, 0, 2, 2), image_id=9)]
    write_coco(tmp_path / "in", annotations, images=("a.jpg", "b.jpg", "c.jpg"))
    (tmp_path / "in/c.jpg").unlink()
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"a", "b"}
    assert (masks["b"] == "background").all()
    assert "no image with the id 9" in reasons(report)["annotations.json: annotation 1"]
    assert "there is no image 'c.jpg'" in reasons(report)["annotations.json: image c.jpg"]


def test_files_of_splits_are_kept_as_splits(tmp_path):
    for split in ("train", "val"):
        write_coco(
            tmp_path / "in" / split,
            [polygon_of(7, square(0, 0, 2, 2)), polygon_of(3, square(4, 4, 6, 6))],
            file="_annotations.coco.json",
        )
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"train/a", "val/a"}
    assert lines(tmp_path / "out/val.txt") == ["val/a"]
    assert report.images == {"train": 1, "val": 1}


def test_instances_are_read_and_other_coco_files_are_not(tmp_path):
    for kind in ("instances", "captions"):
        write_coco(
            tmp_path / "in",
            [polygon_of(7, square(0, 0, 2, 2))],
            file=f"annotations/{kind}_train2017.json",
        )
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert "instances*.json" in reasons(report)["annotations/captions_train2017.json"]


def test_the_annotation_file_can_be_the_source(tmp_path):
    write_coco(tmp_path / "in", [polygon_of(7, square(0, 0, 2, 2))], file="first.json")
    write_coco(tmp_path / "in", [polygon_of(3, square(0, 0, 2, 2))], file="second.json")
    report, _ = imported(tmp_path / "in/second.json", tmp_path / "out")
    assert report.classes == ("background", "road")


def test_a_size_that_is_not_that_of_the_image_is_skipped_before_it_is_drawn(tmp_path):
    write_coco(tmp_path / "in", [polygon_of(7, square(0, 0, 2, 2))], images=("a.jpg", "b.jpg"))
    path = tmp_path / "in/annotations.json"
    name = '"file_name": "b.jpg", "width": '
    path.write_text(path.read_text().replace(f"{name}8", f"{name}1000000"))
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"a"}
    assert "8x6 pixels, its annotation is for 1000000x6" in reasons(report)["b.jpg"]
