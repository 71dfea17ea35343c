"""PASCAL VOC, and what CVAT writes in its style."""

import pytest

from keras_encnet.labels import VOC, voc_palette
from tests.training.importing.exports import imported, lines, reasons, write_image, write_mask

PALETTE = voc_palette(256).tolist()
BORDER = (224, 224, 192)


def write_voc(root, ids, stem="a", palette=PALETTE, image=True, colors=None):
    if image:
        write_image(root / f"JPEGImages/{stem}.jpg", (len(ids[0]), len(ids)))
    mask = ids if colors is None else [[colors[i] for i in row] for row in ids]
    return write_mask(root / f"SegmentationClass/{stem}.png", mask, palette if not colors else None)


def write_list(root, name, text):
    path = root / "ImageSets/Segmentation" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_palettes_of_voc_are_the_classes_of_voc(tmp_path):
    write_voc(tmp_path / "in", [[0, 1], [15, 255]])
    write_mask(tmp_path / "in/SegmentationObject/a.png", [[1, 2], [3, 4]])
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a", keep_absent_classes=True)
    assert report.format == "voc"
    assert report.classes == tuple(VOC)
    assert mask.tolist() == [["background", "aeroplane"], ["person", ""]]


def test_lists_are_the_splits(tmp_path):
    for stem in ("a", "b", "c"):
        write_voc(tmp_path / "in", [[0, 1]], stem)
    write_list(tmp_path / "in", "train", "a\r\nb\r\n")
    write_list(tmp_path / "in", "val", "c\nnowhere\n")
    write_list(tmp_path / "in", "trainval", "a\nb\nc\n")
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert lines(tmp_path / "out/train.txt") == ["a", "b"]
    assert lines(tmp_path / "out/val.txt") == ["c"]
    assert "names no pair" in reasons(report)["ImageSets/Segmentation/val.txt: nowhere"]


@pytest.mark.parametrize("colored", [True, False])
def test_cvat_masks_have_the_classes_of_their_label_map(tmp_path, colored):
    colors = [(0, 0, 0), (10, 10, 128), (0, 108, 128), BORDER]
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nS\u00e4ge:10,10,128::\n"
    write_voc(tmp_path / "in", [[0, 1], [2, 3]], palette=colors, colors=colors if colored else None)
    (tmp_path / "in/labelmap.txt").write_text(f"{text}bird:0,108,128:wing,head:\n", "utf-8")
    write_list(tmp_path / "in", "default", "a\n")
    report, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert report.classes == ("background", "S\u00e4ge", "bird")
    assert mask.tolist() == [["background", "S\u00e4ge"], ["bird", ""]]
    assert report.images == {"train": 1}


def test_gray_masks_hold_the_numbers_of_lines(tmp_path):
    write_voc(tmp_path / "in", [[0, 1], [2, 255]], palette=None)
    (tmp_path / "in/labelmap.txt").write_text("q:0,128,0::\ncar:1,2,3::\nbus:4,5,6::\n")
    _, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert mask.tolist() == [["q", "car"], ["bus", ""]]


def test_a_label_map_without_colors_names_the_colors_of_voc(tmp_path):
    write_voc(tmp_path / "in", [[0, 1]], colors=PALETTE)
    (tmp_path / "in/labelmap.txt").write_text("# label:color_rgb:parts:actions\nsky:::\nroad:::\n")
    _, mask = imported(tmp_path / "in", tmp_path / "out", "a")
    assert mask.tolist() == [["sky", "road"]]


def test_colors_that_are_not_listed_stop_the_import(tmp_path):
    write_voc(tmp_path / "in", [[0, 1]], colors=[(0, 0, 0), (1, 2, 3)])
    with pytest.raises(ValueError, match=r"(?s)1   2   3 \?.*Received: #010203"):
        imported(tmp_path / "in", tmp_path / "out")


def test_masks_without_an_image_are_skipped_with_the_remedy(tmp_path):
    write_voc(tmp_path / "in", [[0, 1]])
    write_voc(tmp_path / "in", [[0, 1]], "b", image=False)
    write_image(tmp_path / "in/JPEGImages/c.jpg")
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"a"}
    assert "export the images as well" in reasons(report)["SegmentationClass/b.png"]
    assert "no mask" in reasons(report)["JPEGImages/c.jpg"]
