import pytest

from tests.training.importing.exports import reasons, write_image
from training.importing.export import Hints
from training.importing.formats import detect
from training.importing.source import Source


def files(root, *names):
    for name in names:
        write_image(root / name)
    return Source(root)


@pytest.mark.parametrize(
    "name",
    [
        "a/1.jpg",
        "a\\1.jpg",
        "./a/1.JPG",
        "C:\\data\\a\\1.jpg",
        "/data/a/1.jpg",
        "../a/1.jpg",
        "1.png",
    ],
)
def test_images_are_found_by_the_end_of_their_path(tmp_path, name):
    source = files(tmp_path, "x/a/1.jpg", "x/2.jpg")
    assert source.find_image(name) == "x/a/1.jpg"


def test_images_of_one_name_are_told_apart_by_folder_and_annotation(tmp_path):
    source = files(tmp_path, "train/1.jpg", "val/1.jpg")
    assert source.find_image("val/1.jpg") == "val/1.jpg"
    assert source.find_image("1.jpg", near="val/a.json") == "val/1.jpg"
    assert source.find_image("1.jpg", near="annotations/instances_train2017.json") == "train/1.jpg"
    with pytest.raises(ValueError, match=r"any of these images: train/1.jpg, val/1.jpg"):
        source.find_image("1.jpg", near="annotations/all.json")
    with pytest.raises(ValueError, match="only 'train/2.jpg'"):
        files(tmp_path, "train/2.jpg").find_image("val/2.jpg")


def test_equal_stems_are_told_apart_by_their_suffix(tmp_path):
    source = files(tmp_path, "1.jpg", "1.png")
    assert source.find_image("1.png") == "1.png"


@pytest.mark.parametrize("name", ["..", "", "/", "2.jpg", "1\0.jpg"])
def test_missing_images_raise(tmp_path, name):
    with pytest.raises(ValueError, match="there is no image|does not name its image"):
        files(tmp_path, "1.jpg").find_image(name)


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    write_image(tmp_path / "secret/1.jpg")
    write_image(tmp_path / "in/2.jpg")
    (tmp_path / "in/1.jpg").symlink_to(tmp_path / "secret/1.jpg")
    (tmp_path / "in/more").symlink_to(tmp_path / "secret")
    (tmp_path / "in/3.jpg").symlink_to(tmp_path / "in/2.jpg")
    source = Source(tmp_path / "in")
    assert source.images == ("2.jpg", "3.jpg")
    assert "leads out" in reasons(source)["1.jpg"]
    assert "not followed" in reasons(source)["more"]


def test_junk_of_file_managers_is_left_out(tmp_path):
    source = files(tmp_path, "a.jpg", "._a.jpg", "__MACOSX/b.jpg")
    assert source.images == ("a.jpg",)


def test_archives_and_missing_folders_raise(tmp_path):
    (tmp_path / "a.zip").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"Unpack the archive.*Received: source="):
        Source(tmp_path / "a.zip")
    with pytest.raises(FileNotFoundError, match="does not exist. Received: source="):
        Source(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="contains no file. Received: source="):
        Source(tmp_path / "empty")


def test_several_formats_need_a_choice(tmp_path):
    write_image(tmp_path / "SegmentationClass/a.png")
    (tmp_path / "a.json").write_text('{"shapes": [], "imagePath": "a.jpg"}')
    with pytest.raises(ValueError, match=r"labelme, voc. Choose one with `--format`"):
        detect(Source(tmp_path), Hints())
