import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from training import check_data
from training.check_data import check_split
from training.input.folder import read_split

ALL_VOID = np.full((4, 6), 255, "uint8")


def write_folder(root, masks, classes=("sky", "road", "car")):
    """Writes a data set with a split `train` from masks, given by their stems."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for stem, mask in masks.items():
        Image.new("RGB", (mask.shape[1], mask.shape[0])).save(root / "images" / f"{stem}.jpg")
        Image.fromarray(mask).save(root / "labels" / f"{stem}.png")
    (root / "train.txt").write_text("\n".join(masks))
    (root / "classes.txt").write_text("\n".join(classes))
    return root


def problems(root, ignore_class=255):
    return check_split(read_split(root, "train"), ignore_class).problems


def run(root, *arguments):
    """Runs the command, as a shell would, and returns its status and all that it printed."""
    command = [sys.executable, "-m", "training.check_data", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_pixels_and_images_are_counted_by_class(tmp_path):
    first = np.array([[0, 0, 0], [1, 255, 255]], "uint8")
    second = np.array([[1, 1, 1, 1]], "uint8")
    report = check_split(read_split(write_folder(tmp_path, {"a": first, "b": second}), "train"))
    assert report.problems == ()
    assert report.bad_stems == ()
    assert report.pixel_counts.tolist() == [3, 5, 0]
    assert report.presence_counts.tolist() == [1, 2, 0]
    assert report.ignored_pixels == 2
    assert report.sizes.tolist() == [[2, 3], [1, 4]]
    report.raise_if_bad()


def test_the_table_tells_shares_and_sizes(tmp_path):
    first = np.array([[0, 0, 0], [1, 255, 255]], "uint8")
    second = np.array([[1, 1, 1, 1]], "uint8")
    split = read_split(write_folder(tmp_path, {"a": first, "b": second}), "train")
    lines = [" ".join(line.split()) for line in str(check_split(split)).splitlines()]
    assert lines == [
        "train: 2 images, 0 of them bad",
        "height: 1 to 2 pixels, median 1.5",
        "width: 3 to 4 pixels, median 3.5",
        "void: 20.00% of all pixels",
        "id of labeled pixels in images class",
        "0 37.50% 1 50.0% sky",
        "1 62.50% 2 100.0% road",
        "2 0.00% 0 0.0% car",
    ]


def test_a_split_without_any_label_can_be_told(tmp_path):
    split = read_split(write_folder(tmp_path, {"a": ALL_VOID}), "train")
    report = check_split(split)
    assert report.ignored_pixels == ALL_VOID.size
    assert "void: 100.00%" in str(report)


def test_an_image_of_one_pixel_is_fine(tmp_path):
    report = check_split(
        read_split(write_folder(tmp_path, {"a": np.ones((1, 1), "uint8")}), "train")
    )
    assert report.problems == ()
    assert report.pixel_counts.tolist() == [0, 1, 0]


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_a_truncated_file_is_found(tmp_path, folder):
    rng = np.random.default_rng(0)
    write_folder(tmp_path, {"a": ALL_VOID, "b": rng.integers(0, 3, (50, 60), "uint8")})
    Image.fromarray(rng.integers(0, 256, (50, 60, 3), "uint8")).save(tmp_path / "images" / "b.jpg")
    (path,) = (tmp_path / folder).glob("b.*")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    ((stem, message),) = problems(tmp_path)
    assert stem == "b"
    assert f"the {'image' if folder == 'images' else 'mask'} can't be read: " in message
    assert "truncated" in message


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"not an image at all, but long enough"])
def test_a_file_that_is_no_image_is_found(tmp_path, content):
    write_folder(tmp_path, {"a": ALL_VOID})
    (tmp_path / "images" / "a.jpg").write_bytes(content)
    (tmp_path / "labels" / "a.png").write_bytes(content)
    (first, image), (second, mask) = problems(tmp_path)
    assert first == second == "a"
    assert "the image can't be read" in image
    assert "the mask can't be read" in mask


def test_a_file_that_vanished_is_found(tmp_path):
    split = read_split(write_folder(tmp_path, {"a": ALL_VOID}), "train")
    split.mask_paths[0].unlink()
    ((stem, message),) = check_split(split).problems
    assert stem == "a"
    assert "the mask can't be read" in message
    assert "No such file" in message


def test_different_sizes_of_image_and_mask_are_found(tmp_path):
    write_folder(tmp_path, {"a": ALL_VOID})
    Image.new("RGB", (4, 6)).save(tmp_path / "images" / "a.jpg")
    assert problems(tmp_path) == (("a", "the image has 4x6 pixels, its mask 6x4"),)


def test_a_mask_in_color_is_found(tmp_path):
    write_folder(tmp_path, {"a": ALL_VOID})
    Image.new("RGB", (6, 4)).save(tmp_path / "labels" / "a.png")
    ((_, message),) = problems(tmp_path)
    assert "must have one channel" in message


def test_an_image_that_tensorflow_would_misread_is_found(tmp_path):
    write_folder(tmp_path, {"a": ALL_VOID})
    (tmp_path / "images" / "a.jpg").unlink()
    Image.new("P", (6, 4)).save(tmp_path / "images" / "a.bmp")
    ((_, message),) = problems(tmp_path)
    assert "BMP with a palette" in message


def test_ids_beyond_the_classes_are_found_in_the_file_that_has_them(tmp_path):
    mask = np.array([[0, 2, 3, 3, 77, 255]], "uint8")
    write_folder(tmp_path, {"a": ALL_VOID, "b": mask, "c": ALL_VOID})
    ((stem, message),) = problems(tmp_path)
    assert stem == "b"
    assert "the ids 3, 77, but the classes are 0 to 2 and void is 255" in message


def test_ids_above_255_are_read_from_masks_of_16_bits(tmp_path):
    write_folder(tmp_path, {"a": np.array([[0, 299, 300, 65535]], "uint16")}, map(str, range(300)))
    report = check_split(read_split(tmp_path, "train"), ignore_class=(300, 65535))
    assert report.problems == ()
    assert np.flatnonzero(report.pixel_counts).tolist() == [0, 299]
    ((_, message),) = problems(tmp_path, ignore_class=65535)
    assert "the ids 300, but" in message


def test_some_label_must_be_void(tmp_path):
    write_folder(tmp_path, {"a": np.zeros((4, 4), "uint8")})
    with pytest.raises(ValueError, match="one label or more"):
        check_split(read_split(tmp_path, "train"), ignore_class=())


def test_several_labels_may_be_void_classes_among_them(tmp_path):
    mask = np.array([[0, 1, 1, 9, 255, 255]], "uint8")
    split = read_split(write_folder(tmp_path, {"a": mask}), "train")
    report = check_split(split, ignore_class=(0, 9, 255))
    assert report.problems == ()
    assert report.pixel_counts.tolist() == [0, 2, 0]
    assert report.ignored_pixels == 4
    ((_, message),) = check_split(split, ignore_class=(0, 9)).problems
    assert "the ids 255, but" in message


def test_bad_images_are_not_counted_and_can_be_left_out(tmp_path):
    good, bad = np.array([[0, 1]], "uint8"), np.array([[0, 7]], "uint8")
    split = read_split(write_folder(tmp_path, {"a": bad, "b": good, "c": bad}), "train")
    report = check_split(split)
    assert report.bad_stems == ("a", "c")
    assert report.pixel_counts.tolist() == [1, 1, 0]
    rest = split.without(report.bad_stems)
    assert rest.stems == ("b",)
    check_split(rest).raise_if_bad()


def test_the_error_lists_the_first_ten_problems_and_the_remedy(tmp_path):
    stems = [f"s{i:02d}" for i in range(12)]
    bad = np.array([[0, 7]], "uint8")
    split = read_split(write_folder(tmp_path, dict.fromkeys(stems, bad)), "train")
    with pytest.raises(ValueError, match="12 of the 12 images can't be used") as caught:
        check_split(split).raise_if_bad()
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:11]] == stems[:10]
    assert lines[11] == "  and 2 more"
    assert "pass `--skip-bad`" in lines[12]
    assert f"Received: split='train' of {tmp_path}" in lines[12]


def test_the_command_ends_well_on_good_data(tmp_path):
    write_folder(tmp_path, {"a": np.array([[0, 1, 2]], "uint8")})
    status, printed = run(tmp_path)
    assert status == 0, printed
    assert "train: 1 images, 0 of them bad" in printed
    assert "33.33%" in printed


def test_the_command_fails_on_bad_data_and_names_it(tmp_path):
    write_folder(tmp_path, {"a": np.array([[0, 1, 3]], "uint8"), "b": ALL_VOID})
    status, printed = run(tmp_path, "--splits", "train")
    assert status == 1
    assert "a: the mask has pixels of the ids 3" in printed


def call(capsys, *arguments, **options):
    """Runs the command in this process and returns its status and all that it printed."""
    code = 0
    try:
        check_data.main(*arguments, **options)
    except SystemExit as end:
        print(end.code)
        code = 1 if isinstance(end.code, str) else end.code
    return code, capsys.readouterr().out


def test_the_command_takes_void_labels_and_skips_bad_images_if_asked(tmp_path, capsys):
    bad = np.array([[0, 1, 3]], "uint8")
    write_folder(tmp_path, {"a": bad, "b": ALL_VOID})
    assert call(capsys, tmp_path)[0] == 1
    assert call(capsys, tmp_path, ignore_class=(3, 255))[0] == 0
    code, printed = call(capsys, tmp_path, skip_bad=True)
    assert code == 0
    assert "a: the mask has" in printed
    (tmp_path / "train.txt").write_text("a")
    assert call(capsys, tmp_path, skip_bad=True)[0] == 1


def test_the_command_fails_on_a_split_that_can_not_be_read_and_goes_on_to_the_next(
    tmp_path, capsys
):
    write_folder(tmp_path, {"a": ALL_VOID})
    (tmp_path / "ahead.txt").write_text("missing")
    code, printed = call(capsys, tmp_path)
    assert code == 1
    assert "1 of 1 stems: missing" in printed
    assert "train: 1 images" in printed
    assert "Not fit for use: ahead" in printed


def test_the_command_fails_on_a_folder_without_data(tmp_path, capsys):
    code, printed = call(capsys, tmp_path / "nowhere")
    assert code == 1
    assert "no such folder" in printed
    code, printed = call(capsys, tmp_path)
    assert code == 1
    assert "`classes.txt`" in printed
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    code, printed = call(capsys, tmp_path)
    assert code == 1
    assert "no split 'train'" in printed
