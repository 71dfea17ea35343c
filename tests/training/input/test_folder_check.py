import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.training.folders import write_split
from training.input.folder import read_split
from training.input.folder_check import check_split, naming_damaged_files
from training.input.segmentation_batches import whole_images

ALL_IGNORED = np.full((4, 6), 255, "uint8")


def write_masks(root, masks, class_names=("sky", "road", "car")):
    """Writes a split from masks by stem, with black JPEG images."""
    samples = {stem: (None, mask) for stem, mask in masks.items()}
    return write_split(root, samples, class_names, suffix=".jpg")


def problems(root, ignore_class=255):
    return check_split(read_split(root, "train"), ignore_class).problems


def test_pixels_and_images_are_counted_by_class(tmp_path):
    first = np.array([[0, 0, 0], [1, 255, 255]], "uint8")
    second = np.array([[1, 1, 1, 1]], "uint8")
    report = check_split(write_masks(tmp_path, {"a": first, "b": second}))
    assert report.problems == ()
    assert report.bad_stems == ()
    assert report.pixel_counts.tolist() == [3, 5, 0]
    assert report.presence_counts.tolist() == [1, 2, 0]
    assert report.ignored_pixels == 2
    assert report.sizes.tolist() == [[2, 3], [1, 4]]
    report.raise_if_bad()


def test_the_report_shows_shares_and_sizes(tmp_path):
    first = np.array([[0, 0, 0], [1, 255, 255]], "uint8")
    second = np.array([[1, 1, 1, 1]], "uint8")
    split = write_masks(tmp_path, {"a": first, "b": second})
    lines = [" ".join(line.split()) for line in str(check_split(split)).splitlines()]
    assert lines == [
        "train: 2 images, 0 of them bad",
        "height: 1 to 2 pixels, median 1.5",
        "width: 3 to 4 pixels, median 3.5",
        "3 channels (RGB)",
        "statistics per channel: --mean 0 0 0 --std 0 0 0",
        "ignored: 20.00% of all pixels",
        "id of labeled pixels in images class",
        "0 37.50% 1 50.0% sky",
        "1 62.50% 2 100.0% road",
        "2 0.00% 0 0.0% car",
    ]


def test_a_split_without_labels_is_reported(tmp_path):
    split = write_masks(tmp_path, {"a": ALL_IGNORED})
    report = check_split(split)
    assert report.ignored_pixels == ALL_IGNORED.size
    assert "ignored: 100.00%" in str(report)


def test_an_image_of_one_pixel_is_accepted(tmp_path):
    report = check_split(write_masks(tmp_path, {"a": np.ones((1, 1), "uint8")}))
    assert report.problems == ()
    assert report.pixel_counts.tolist() == [0, 1, 0]


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_truncated_files_are_reported(tmp_path, folder):
    rng = np.random.default_rng(0)
    write_masks(tmp_path, {"a": ALL_IGNORED, "b": rng.integers(0, 3, (50, 60), "uint8")})
    Image.fromarray(rng.integers(0, 256, (50, 60, 3), "uint8")).save(tmp_path / "images" / "b.jpg")
    (path,) = (tmp_path / folder).glob("b.*")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    ((stem, message),) = problems(tmp_path)
    assert stem == "b"
    assert f"the {'image' if folder == 'images' else 'mask'} cannot be read: " in message
    assert "truncated" in message


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"not an image at all, but long enough"])
def test_files_that_are_not_images_are_reported(tmp_path, content):
    write_masks(tmp_path, {"a": ALL_IGNORED})
    (tmp_path / "images" / "a.jpg").write_bytes(content)
    (tmp_path / "labels" / "a.png").write_bytes(content)
    (first, image), (second, mask) = problems(tmp_path)
    assert first == second == "a"
    assert "the image cannot be read" in image
    assert "the mask cannot be read" in mask


def test_missing_files_are_reported(tmp_path):
    split = write_masks(tmp_path, {"a": ALL_IGNORED})
    split.mask_paths[0].unlink()
    ((stem, message),) = check_split(split).problems
    assert stem == "a"
    assert "the mask cannot be read" in message
    assert "No such file" in message


def test_different_sizes_of_image_and_mask_are_reported(tmp_path):
    write_masks(tmp_path, {"a": ALL_IGNORED})
    Image.new("RGB", (4, 6)).save(tmp_path / "images" / "a.jpg")
    assert problems(tmp_path) == (("a", "the image has 4x6 pixels, its mask 6x4"),)


def test_rgb_masks_are_reported(tmp_path):
    write_masks(tmp_path, {"a": ALL_IGNORED})
    Image.new("RGB", (6, 4)).save(tmp_path / "labels" / "a.png")
    ((_, message),) = problems(tmp_path)
    assert "one channel or a palette" in message


def test_bmp_with_palette_is_reported(tmp_path):
    write_masks(tmp_path, {"a": ALL_IGNORED})
    (tmp_path / "images" / "a.jpg").unlink()
    Image.new("P", (6, 4)).save(tmp_path / "images" / "a.bmp")
    ((_, message),) = problems(tmp_path)
    assert "BMP images must be uncompressed, with 24 or 32 bits" in message


def test_unknown_ids_are_reported_with_their_file(tmp_path):
    mask = np.array([[0, 2, 3, 3, 77, 255]], "uint8")
    write_masks(tmp_path, {"a": ALL_IGNORED, "b": mask, "c": ALL_IGNORED})
    ((stem, message),) = problems(tmp_path)
    assert stem == "b"
    assert "the ids 3, 77, but the classes are 0 to 2 and the ignored labels 255" in message


def test_16_bit_masks_are_read(tmp_path):
    write_masks(tmp_path, {"a": np.array([[0, 299, 300, 65535]], "uint16")}, map(str, range(300)))
    report = check_split(read_split(tmp_path, "train"), ignore_class=(300, 65535))
    assert report.problems == ()
    assert np.flatnonzero(report.pixel_counts).tolist() == [0, 299]
    ((_, message),) = problems(tmp_path, ignore_class=65535)
    assert "the ids 300, but" in message


def test_ignore_class_must_not_be_empty(tmp_path):
    write_masks(tmp_path, {"a": np.zeros((4, 4), "uint8")})
    with pytest.raises(ValueError, match="at least one label"):
        check_split(read_split(tmp_path, "train"), ignore_class=())


def test_several_labels_can_be_ignored_including_classes(tmp_path):
    mask = np.array([[0, 1, 1, 9, 255, 255]], "uint8")
    split = write_masks(tmp_path, {"a": mask})
    report = check_split(split, ignore_class=(0, 9, 255))
    assert report.problems == ()
    assert report.pixel_counts.tolist() == [0, 2, 0]
    assert report.ignored_pixels == 4
    ((_, message),) = check_split(split, ignore_class=(0, 9)).problems
    assert "the ids 255, but" in message


def test_bad_images_are_not_counted_and_can_be_dropped(tmp_path):
    good, bad = np.array([[0, 1]], "uint8"), np.array([[0, 7]], "uint8")
    split = write_masks(tmp_path, {"a": bad, "b": good, "c": bad})
    report = check_split(split)
    assert report.bad_stems == ("a", "c")
    assert report.pixel_counts.tolist() == [1, 1, 0]
    rest = split.without(report.bad_stems)
    assert rest.stems == ("b",)
    check_split(rest).raise_if_bad()


def test_the_error_lists_ten_problems_and_the_remedy(tmp_path):
    stems = [f"s{i:02d}" for i in range(12)]
    bad = np.array([[0, 7]], "uint8")
    split = write_masks(tmp_path, dict.fromkeys(stems, bad))
    with pytest.raises(ValueError, match="12 of the 12 images cannot be used") as caught:
        check_split(split).raise_if_bad()
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:11]] == stems[:10]
    assert lines[11] == "  and 2 more"
    assert "pass `--skip-bad`" in lines[12]
    assert f"Received: split='train' of {tmp_path}" in lines[12]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_that_viewers_turn_are_reported(tmp_path, orientation):
    write_masks(tmp_path, {"a": np.array([[0, 1], [1, 2]], "uint8")})  # a square
    image = Image.new("RGB", (2, 2))
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(tmp_path / "images" / "a.jpg", exif=exif)
    found = problems(tmp_path)
    if orientation == 1:
        assert found == ()
    else:
        ((stem, message),) = found
        assert stem == "a"
        assert f"the image has the EXIF orientation {orientation}" in message
        assert "import_data" in message


@pytest.mark.parametrize(
    ("values", "largest"),
    [((1, 100), 100), ((0, 4095), 4095), ((0, 4096), None), ((0, 65535), None), ((0, 0), None)],
)
def test_16_bit_images_with_data_of_12_bits_are_reported(tmp_path, values, largest):
    write_masks(tmp_path, {"a": np.array([[0, 1]], "uint8")})
    (tmp_path / "images" / "a.jpg").unlink()
    Image.fromarray(np.array([values], "uint16")).save(tmp_path / "images" / "a.png")
    found = [message for _, message in problems(tmp_path)]
    if largest is None:
        assert found == []
    else:
        (message,) = found
        assert f"16 bits per channel, but values up to {largest} only" in message
        assert "by 16" in message


def test_dark_images_of_8_bits_are_accepted(tmp_path):
    dark = np.full((1, 2, 3), 9, "uint8")
    split = write_split(tmp_path, {"a": (dark, np.array([[0, 1]], "uint8"))})
    assert check_split(split).problems == ()


BINARY = np.array([[0, 255, 255]], "uint8")


def split_problems(split, every_class=True):
    return check_split(split).split_problems(every_class)


def test_masks_of_0_and_255_are_reported_with_the_way_out(tmp_path):
    write_masks(tmp_path, {"a": BINARY, "b": np.zeros((1, 3), "uint8")}, ("ground", "object"))
    (problem,) = split_problems(read_split(tmp_path, "train"))
    assert problem.startswith("The masks hold only 0 and 255.")
    assert "`--map-labels 255:1`" in problem
    mapped = read_split(tmp_path, "train", ["255:1"])
    assert split_problems(mapped) == []
    assert check_split(mapped).pixel_counts.tolist() == [4, 2]
    ignored = read_split(tmp_path, "train", ["255:255"])
    assert split_problems(ignored, every_class=False) == []
    with pytest.raises(ValueError, match=rf"map-labels 255:1.*'train' of {tmp_path}"):
        check_split(read_split(tmp_path, "train")).raise_if_unusable()


def test_masks_of_255_without_an_ignored_label_name_the_option(tmp_path):
    write_masks(tmp_path, {"a": BINARY})
    ((_, message),) = problems(tmp_path, ignore_class=254)
    assert "the ids 255, but" in message
    assert "`--map-labels`, such as `255:1`" in message


def test_classes_without_pixels_are_reported_for_training(tmp_path):
    split = write_masks(tmp_path, {"a": np.array([[0, 0, 255]], "uint8"), "b": BINARY // 255})
    (problem,) = split_problems(split)
    assert "1 of the 3 classes have no pixel in the split and cannot be learned: car" in problem
    assert "--allow-absent-classes" in problem
    assert split_problems(split, every_class=False) == []


def test_splits_without_labeled_pixels_are_reported(tmp_path):
    split = write_masks(tmp_path, {"a": ALL_IGNORED})
    (problem,) = split_problems(split, every_class=False)
    assert "No pixel of the split has a class" in problem
    assert "Received: labels 255" in problem


@pytest.mark.parametrize("text", ["255", "255:", "a:1", "255:-1", "1:2:3"])
def test_label_maps_must_be_pairs(tmp_path, text):
    write_masks(tmp_path, {"a": BINARY})
    with pytest.raises(ValueError, match=rf"such as `255:1`. Received: map_labels='{text}'"):
        read_split(tmp_path, "train", [text])


def test_errors_of_batches_name_the_damaged_file(tmp_path):
    split = write_masks(tmp_path, dict.fromkeys("abc", np.array([[0, 1, 2]], "uint8")))
    path = tmp_path / "labels" / "b.png"
    path.write_bytes(path.read_bytes()[:-10])
    with (
        pytest.raises(ValueError, match=r"(?s)b: the mask cannot be read.*b\.png"),
        naming_damaged_files([split]),
    ):
        list(whole_images(split))
    with pytest.raises(ValueError, match="other"), naming_damaged_files([split.without("b")]):
        raise ValueError("another error")
