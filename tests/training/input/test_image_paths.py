"""Which files are images: one rule for lists, folders, and the commands."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_encnet.export.image_bytes import NO_IMAGE
from saved_models.predictions import predict_file
from tests.training.folders import write_split
from tests.training.importing.exports import imported
from training.input.folder import read_split
from training.input.folder_check import check_split
from training.input.image_files import read_image
from training.input.image_paths import (
    ALL_SUFFIXES,
    IMAGE_SUFFIXES,
    check_results,
    find_images,
)

MASK = np.array([[0, 1, 2]], "uint8")
OTHER_SUFFIXES = sorted(set(ALL_SUFFIXES) - set(IMAGE_SUFFIXES))


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_and_results_keep_their_paths(tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "photos/out"
    found = ["a.jpg", "city/b.v2.PNG", "city/Straße 1/c.gif", "d.tif"]
    left_out = ["notes.txt", ".hidden.jpg", ".cache/e.jpg", "out/a.png", "out/deep/f.png"]
    touch(*(photos / name for name in found + left_out), tmp_path / "single.bmp")
    results = find_images([photos, tmp_path / "single.bmp"], output)
    assert results == {
        tmp_path / "single.bmp": output / "single",
        photos / "a.jpg": output / "a",
        photos / "city/Straße 1/c.gif": output / "city/Straße 1/c",
        photos / "city/b.v2.PNG": output / "city/b.v2",
        photos / "d.tif": output / "d",
    }
    check_results(results, [".png", "_overlay.png"])


def test_links_are_followed_for_files_and_the_folder_itself(tmp_path):
    touch(tmp_path / "photos/a.jpg")
    os.symlink("a.jpg", tmp_path / "photos/b.jpg")
    os.symlink("photos", tmp_path / "link")
    assert [path.name for path in find_images([tmp_path / "link"], Path("out"))] == [
        "a.jpg",
        "b.jpg",
    ]


@pytest.mark.parametrize("paths", [["photso"], ["a.jpg", "photso"], ["empty"]])
def test_missing_folders_and_folders_without_images_raise(tmp_path, paths):
    touch(tmp_path / "a.jpg", tmp_path / "empty/notes.txt")
    with pytest.raises(FileNotFoundError, match=rf"Received: .*{paths[-1]}"):
        find_images([tmp_path / path for path in paths], tmp_path / "out")


def test_a_missing_image_is_left_to_the_command(tmp_path):
    assert find_images([Path("gone.jpg")], Path("out")) == {Path("gone.jpg"): Path("out/gone")}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.jpg", "a.png"], "overwrite each other's results.*a.png"),
        (["a.jpg", "a_overlay.jpg"], "overwrite each other's results.*a_overlay.png"),
        (["out/a.png"], "overwrite these images.*a.png"),
    ],
)
def test_results_that_would_overwrite_something_raise(tmp_path, names, message):
    paths = [tmp_path / name for name in names]
    touch(*paths)
    with pytest.raises(ValueError, match=message):
        check_results(find_images(paths, tmp_path / "out"), [".png", "_overlay.png"])


def test_no_path_raises():
    with pytest.raises(ValueError, match="Pass image files, or folders"):
        find_images([], Path("out"))


def test_an_image_that_is_given_twice_raises(tmp_path):
    touch(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="given twice.*a.jpg"):
        find_images([tmp_path, tmp_path / "a.jpg"], tmp_path / "out")


class Server:
    """Answers as an exported model does to a file that it cannot decode."""

    def predict(self, images):
        return [{"status": NO_IMAGE}]


@pytest.mark.parametrize(("suffix", "format"), [(".tif", "TIFF"), (".webp", "WEBP")])
def test_every_command_gives_the_same_remedy_for_other_formats(tmp_path, suffix, format):
    encoded = io.BytesIO()
    Image.new("RGB", (4, 3)).save(encoded, format)
    root = write_split(tmp_path, {"a": (None, MASK), "b": (None, MASK)}).root
    (root / "images/a.png").write_bytes(encoded.getvalue())
    remedy = "`python -m training.import_data` converts TIFF and WebP"
    ((_, problem),) = check_split(read_split(root, "train")).problems
    with pytest.raises(ValueError) as prediction:
        read_image(root / "images/a.png")
    answer = predict_file(Server(), root / "images/a.png", {"status"})
    for message in (problem, str(prediction.value), answer.error):
        assert NO_IMAGE in message
        assert remedy in message


@pytest.mark.parametrize("suffix", OTHER_SUFFIXES)
@pytest.mark.parametrize("listed", ["a", "a{}", "images/a{}"])
def test_images_of_other_formats_in_a_list_are_named(tmp_path, suffix, listed):
    root = write_split(tmp_path, {"a": (None, MASK), "b": (None, MASK)}).root
    (root / "images/a.png").rename(root / f"images/a{suffix}")
    (root / "train.txt").write_text(f"{listed.format(suffix)}\nb")
    with pytest.raises(FileNotFoundError, match=rf"1 of 2 stems.*formats: a{suffix}\. .*import_d"):
        read_split(root, "train")


def test_masks_of_other_formats_are_named(tmp_path):
    root = write_split(tmp_path, {"a": (None, MASK)}).root
    (root / "labels/a.png").rename(root / "labels/a.tif")
    with pytest.raises(FileNotFoundError, match=r"`labels/<stem>`.*formats: a.tif\. Convert"):
        read_split(root, "train")


def test_masks_with_other_names_can_be_imported_as_the_message_says(tmp_path):
    root = write_split(tmp_path / "in", {"a": (None, MASK), "b": (None, MASK)}).root
    for name in "ab":
        (root / f"labels/{name}.png").rename(root / f"labels/{name}_mask.png")
    with pytest.raises(FileNotFoundError, match="2 of 2 stems.*`python -m training.import_data`"):
        read_split(root, "train")
    report, masks = imported(root, tmp_path / "out")
    assert sorted(masks) == ["a", "b"]
    assert report.classes == ("sky", "road", "car")
