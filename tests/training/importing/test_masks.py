"""Masks of ids, of 0 and 255, and of colors, in folders of many shapes."""

import numpy as np
import pytest
from PIL import Image

from tests.training.importing.exports import imported, reasons, write_image, write_mask
from tests.training.input.test_image_files import png
from training.importing.export import Hints

IDS = [[0, 1], [2, 255]]
BLACK, RED, WHITE = (0, 0, 0), (200, 0, 0), (255, 255, 255)
COLORS = [[BLACK, RED], [RED, WHITE]]


def write_pair(root, mask=IDS, image="images/a.jpg", file="labels/a.png", **options):
    size = np.shape(mask)[1::-1]
    write_image(root / image, size)
    return write_mask(root / file, mask, **options)


def write_list(root, text, name="classes.txt"):
    (root / name).write_text(text)


@pytest.mark.parametrize(
    ("image", "file", "stem"),
    [
        ("images/a.jpg", "labels/a.png", "a"),
        ("Images/A.JPG", "Masks/a.PNG", "A"),
        ("img/a.tif", "annotations/a.png", "a"),
        ("JPEGImages/sub/a.jpg", "masks/sub/a_mask.png", "sub/a"),
        ("a.jpg", "a_mask.png", "a"),
        ("train/a.png", "trainannot/a.png", "train/a"),
        ("train/images/a.jpg", "train/masks/a.png", "train/a"),
        ("images/image_01.jpg", "masks/gt_01.png", "image_01"),
        ("images/a.jpg", "masks/train/a.png", "a"),
        ("images/label (1).jpg", "masks/label (1).png", "label (1)"),
        ("images/fu\u0308r.jpg", "masks/f\u00fcr.png", "f\u00fcr"),
        ("01/image.jpg", "01/mask.png", "01/image"),
    ],
)
def test_images_are_paired_with_masks_by_name(tmp_path, image, file, stem):
    write_pair(tmp_path / "in", image=image, file=file)
    other = [path.replace("01", "02") if "01" in path else "" for path in (image, file)]
    if other[0]:
        write_pair(tmp_path / "in", image=other[0], file=other[1])
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert report.format == "ids"
    assert stem in masks or stem.rpartition("/")[-1] in masks
    assert len(masks) == 1 + bool(other[0])
    assert next(iter(masks.values())).tolist() == [["class 0", "class 1"], ["class 2", ""]]


def test_folders_can_be_named(tmp_path):
    write_pair(tmp_path / "in", image="left/a.png", file="right/a.png")
    message = r"of 2 images and 0 masks, no pair.*with `--images` and `--masks`"
    with pytest.raises(ValueError, match=message):
        imported(tmp_path / "in", tmp_path / "out")
    hints = Hints(images="left", masks="right/")
    _, masks = imported(tmp_path / "in", tmp_path / "out", hints=hints)
    assert set(masks) == {"a"}
    with pytest.raises(ValueError, match="Received: masks='nowhere'"):
        imported(tmp_path / "in", tmp_path / "out2", hints=Hints(masks="nowhere"))


def test_files_without_a_counterpart_are_skipped(tmp_path):
    write_pair(tmp_path / "in")
    write_image(tmp_path / "in/images/b.jpg")
    write_mask(tmp_path / "in/labels/c.png", IDS)
    write_pair(tmp_path / "in", image="images/x/d.jpg", file="labels/d.png")
    write_image(tmp_path / "in/images/y/d.jpg")
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"a"}
    found = reasons(report)
    assert "no mask for the image" in found["images/b.jpg"]
    assert "no image for the mask" in found["labels/c.png"]
    assert "several" in found["labels/d.png"]


def test_palettes_hold_ids(tmp_path):
    write_pair(tmp_path / "in", palette=[WHITE, BLACK, RED])
    write_list(tmp_path / "in", "sky\r\nroad\r\ncar\r\n")
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert report.classes == ("sky", "road", "car")
    assert masks["a"].tolist() == [["sky", "road"], ["car", ""]]


def test_ids_may_be_stored_as_equal_channels_or_16_bits(tmp_path):
    write_image(tmp_path / "in/images/a.jpg", (2, 2))
    write_image(tmp_path / "in/images/b.jpg", (2, 1))
    write_mask(tmp_path / "in/masks/a.png", np.stack([np.array(IDS)] * 3, -1))
    Image.fromarray(np.array([[1, 65535]], "uint16")).save(tmp_path / "in/masks/b.png")
    _, masks = imported(tmp_path / "in", tmp_path / "out")
    assert masks["a"].tolist() == [["class 0", "class 1"], ["class 2", ""]]
    assert masks["b"].tolist() == [["class 1", ""]]


def test_ids_from_1_are_shifted_if_the_class_list_says_so(tmp_path):
    write_pair(tmp_path / "in", [[1, 2], [3, 255]])
    write_list(tmp_path / "in", "sky\nroad\ncar\n")
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert masks["a"].tolist() == [["sky", "road"], ["car", ""]]
    assert "The ids start from 1: 1 is 'sky'." in report.notes


def test_0_below_ids_from_1_needs_a_decision(tmp_path):
    write_pair(tmp_path / "in", [[0, 1], [2, 3]])
    write_list(tmp_path / "in", "sky\nroad\ncar\n")
    with pytest.raises(ValueError, match=r"ids 0 to 3, but there are only 3.*--background ig"):
        imported(tmp_path / "in", tmp_path / "out")
    for background, name in (("ignore", ""), ("ground", "ground")):
        _, masks = imported(
            tmp_path / "in",
            tmp_path / background,
            hints=Hints(background=True),
            classes={"background": background},
        )
        assert masks["a"].tolist() == [[name, "sky"], ["road", "car"]]


def test_ids_and_names_may_be_listed_in_any_order(tmp_path):
    write_pair(tmp_path / "in", [[7, 128], [7, 255]])
    write_list(tmp_path / "in", "128: road\n7: sky\n255: car\n")
    _, masks = imported(tmp_path / "in", tmp_path / "out")
    assert masks["a"].tolist() == [["sky", "road"], ["sky", "car"]]


def test_ids_without_a_name_stop_the_import(tmp_path):
    write_pair(tmp_path / "in", [[0, 1], [1, 5]])
    write_list(tmp_path / "in", "sky\nroad\n")
    with pytest.raises(ValueError, match=r"(?s)5: 1 pixels.*--classes.*Received: id 5"):
        imported(tmp_path / "in", tmp_path / "out")
    _, masks = imported(tmp_path / "in", tmp_path / "out", classes={"ignore": ["5"]})
    assert masks["a"].tolist() == [["sky", "road"], ["road", ""]]


def test_gray_levels_need_a_class_list(tmp_path):
    write_pair(tmp_path / "in", [[0, 128], [128, 255]])
    with pytest.raises(ValueError, match=r"look like gray levels.*Received: values=0, 128, 255"):
        imported(tmp_path / "in", tmp_path / "out")


def test_0_and_255_are_background_and_object(tmp_path):
    write_pair(tmp_path / "in", [[0, 255], [255, 255]])
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert report.format == "binary"
    assert masks["a"].tolist() == [["background", "object"], ["object", "object"]]


def test_masks_of_one_bit_have_two_classes(tmp_path):
    write_image(tmp_path / "in/images/a.jpg", (2, 1))
    (tmp_path / "in/masks").mkdir()
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "in/masks/a.png")
    _, masks = imported(tmp_path / "in", tmp_path / "out")
    assert masks["a"].tolist() == [["background", "object"]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_ids_of_few_bits_are_not_scaled(tmp_path, bits):
    ids = np.arange(16).reshape(2, 8) % 2**bits
    write_image(tmp_path / "in/images/a.jpg", (8, 2))
    (tmp_path / "in/masks").mkdir()
    (tmp_path / "in/masks/a.png").write_bytes(png(ids, bits, color=0))
    (tmp_path / "names.txt").write_text("\n".join(map(str, range(100, 100 + 2**bits))))
    hints = Hints(classes=str(tmp_path / "names.txt"))
    _, masks = imported(tmp_path / "in", tmp_path / "out", hints=hints)
    assert (masks["a"].astype(int) - 100).tolist() == ids.tolist()


def test_jpeg_masks_are_read_as_two_classes_only_on_request(tmp_path):
    mask = np.zeros((16, 16), "uint8")
    mask[:, 5:] = 255
    write_image(tmp_path / "in/images/a.png", (16, 16))
    (tmp_path / "in/masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "in/masks/a.jpg", quality=60)
    with pytest.raises(ValueError, match=r"JPEG changes the values of pixels.*`--format binary`"):
        imported(tmp_path / "in", tmp_path / "out")
    report, masks = imported(tmp_path / "in", tmp_path / "out", format="binary")
    np.testing.assert_array_equal(masks["a"] == "object", mask == 255)
    assert "neither 0 nor 255" in report.notes[0]


def test_without_a_color_list_the_colors_are_listed(tmp_path):
    write_pair(tmp_path / "in", COLORS)
    with pytest.raises(ValueError) as caught:
        imported(tmp_path / "in", tmp_path / "out")
    assert "  200   0   0 ?  (2 pixels in 1 masks)" in str(caught.value).splitlines()
    assert not (tmp_path / "out").exists()
    # The lines are a color list once they have names.
    lines = [line for line in str(caught.value).splitlines() if " masks)" in line]
    names = iter(("car", "sky", "sun"))
    text = "\n".join(f"{line.partition('?')[0]}{next(names)}" for line in lines)
    (tmp_path / "colors.txt").write_text(text)
    hints = Hints(colors=str(tmp_path / "colors.txt"))
    _, masks = imported(tmp_path / "in", tmp_path / "out", hints=hints)
    assert masks["a"][0, 1] == "car"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labelmap.txt", "# label:color_rgb:parts:actions\nsky:0,0,0::\ncar:200,0,0:a,b:\n"),
        ("class_dict.csv", "name,r,g,b\nsky,0,0,0\ncar,200,0,0\n"),
        ("class_dict.csv", "id,name,r,g,b\n0,sky,0,0,0\n1,car,200,0,0\n"),
        ("label_colors.txt", "0 0 0\tsky\r\n200 0 0\tcar\r\n"),
        ("colors.txt", "sky #000000\n#C80000 car\n"),
        ("colors.csv", 'color;name\n"(0, 0, 0)";sky\n"(200, 0, 0)";car\n'),
    ],
)
def test_color_lists_of_many_tools_are_read(tmp_path, name, text):
    write_pair(tmp_path / "in", COLORS)
    (tmp_path / "in" / name).write_bytes(text.encode("utf-16"))
    report, masks = imported(tmp_path / "in", tmp_path / "out", classes={"ignore": ["#ffffff"]})
    assert report.format == "rgb"
    assert report.classes == ("sky", "car")
    assert masks["a"].tolist() == [["sky", "car"], ["car", ""]]


def test_mixed_colors_have_the_nearest_class_within_the_tolerance(tmp_path):
    write_pair(tmp_path / "in", [[BLACK, RED], [(190, 9, 0), (3, 3, 3)]])
    write_list(tmp_path / "in", "sky 0 0 0\ncar 200 0 0\n", "colors.txt")
    with pytest.raises(ValueError, match=r"(?s)2 values.*--color-tolerance"):
        imported(tmp_path / "in", tmp_path / "out", hints=Hints(color_tolerance=2))
    _, masks = imported(tmp_path / "in", tmp_path / "out", hints=Hints(color_tolerance=10))
    assert masks["a"].tolist() == [["sky", "car"], ["car", "sky"]]


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"colors": "colors.txt"}, "`--colors` has no effect in the format binary. Rec.*colors="),
        ({"color_tolerance": 9}, "`--color-tolerance` has no effect.*Received: color_tolerance=9"),
        ({"classes": "nowhere.txt"}, "list does not exist. Received: path='nowhere.txt'"),
        ({"color_tolerance": -1}, "from 0 to 255. Received: color_tolerance=-1"),
    ],
)
def test_useless_hints_are_refused(tmp_path, hints, message):
    write_pair(tmp_path / "in", [[0, 255]])
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        imported(tmp_path / "in", tmp_path / "out", format="binary", hints=Hints(**hints))


def test_one_color_for_two_classes_is_refused(tmp_path):
    write_pair(tmp_path / "in", COLORS)
    write_list(tmp_path / "in", "sky 0 0 0\ncar 0 0 0\n", "colors.txt")
    with pytest.raises(ValueError, match=r"\(0, 0, 0\) stands for 'sky' and 'car'.*colors.txt"):
        imported(tmp_path / "in", tmp_path / "out")


def test_damaged_masks_are_skipped_with_the_reason(tmp_path):
    write_pair(tmp_path / "in")
    path = write_pair(
        tmp_path / "in", np.arange(100).reshape(10, 10) % 3, "images/b.jpg", "labels/b.png"
    )
    path.write_bytes(path.read_bytes()[:-30])
    write_pair(tmp_path / "in", image="images/c.jpg", file="labels/c.png")
    Image.new("F", (2, 2)).save(tmp_path / "in/labels/c.png", "TIFF")
    report, masks = imported(tmp_path / "in", tmp_path / "out")
    assert set(masks) == {"a"}
    assert "the mask cannot be read" in reasons(report)["labels/b.png"]
    assert "neither ids nor colors" in reasons(report)["labels/c.png"]


def test_lists_of_images_are_the_splits(tmp_path):
    for stem in ("a", "b", "c"):
        write_pair(tmp_path / "in", image=f"images/{stem}.jpg", file=f"labels/{stem}.png")
    (tmp_path / "in/train.txt").write_text("a\nimages/b.jpg labels/b.png\n")
    (tmp_path / "in/val.txt").write_text("c.png\nd\n")
    report, _ = imported(tmp_path / "in", tmp_path / "out")
    assert report.images == {"train": 2, "val": 1}
    assert "there is no image 'd'" in reasons(report)["val.txt: d"]


def test_a_folder_data_set_is_imported_as_it_is(tmp_path):
    write_pair(tmp_path / "in", [[0, 1], [1, 255]])
    write_list(tmp_path / "in", "sky\nroad\n")
    imported(tmp_path / "in", tmp_path / "out")
    report, masks = imported(tmp_path / "out", tmp_path / "again")
    assert report.skipped == ()
    assert masks["a"].tolist() == [["sky", "road"], ["road", ""]]
