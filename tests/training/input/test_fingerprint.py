"""Fingerprints notice every change of the data, and no change of path or time."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.training.folders import write_split
from training.input import fingerprint
from training.input.folder import read_split


@pytest.fixture
def split(tmp_path, rng):
    masks = {f"photo{i}": rng.integers(0, 3, (6, 7)).astype("uint8") for i in range(4)}
    samples = {stem: (np.stack([40 * mask] * 3, -1), mask) for stem, mask in masks.items()}
    return write_split(tmp_path / "data", samples)


def changes(split, root):
    before = {"train": fingerprint.of_files(split)}
    return fingerprint.changes(before, {"train": fingerprint.of_files(read_split(root, "train"))})


def test_copy_under_another_path_is_the_same_data(split, tmp_path):
    shutil.copytree(split.root, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "copy" / "images" / "photo0.png", (0, 0))
    assert changes(split, tmp_path / "copy") == []


def edit_mask(root):
    mask = np.array(Image.open(root / "labels" / "photo2.png"))
    mask[0, 0] = (mask[0, 0] + 1) % 3
    Image.fromarray(mask).save(root / "labels" / "photo2.png")


def edit_image(root):
    Image.new("RGB", (7, 6)).save(root / "images" / "photo1.png")


def edit_list(edit):
    def edit_it(root):
        stems = (root / "train.txt").read_text().split()
        (root / "train.txt").write_text("\n".join(edit(stems)))

    return edit_it


def add(root):
    for folder in ("images", "labels"):
        shutil.copy(root / folder / "photo0.png", root / folder / "new.png")
    edit_list(lambda stems: [*stems, "new"])(root)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (edit_mask, "1 of 4 images were changed: photo2 (label)"),
        (edit_image, "1 of 4 images were changed: photo1 (image)"),
        (edit_list(lambda stems: stems[1:]), "1 of 4 images were removed: photo0"),
        (edit_list(sorted), None),
        (edit_list(lambda stems: stems[::-1]), "the images are in another order"),
        (add, "1 of 4 images were added: new"),
        (
            lambda root: (root / "classes.txt").write_text("sky\ncar\nroad"),
            "the classes were ['sky', 'road', 'car'] and are ['sky', 'car', 'road']",
        ),
    ],
    ids=["mask", "image", "removed", "same", "order", "added", "classes"],
)
def test_changes_of_files_and_lists_are_named(change, expected, split, tmp_path):
    shutil.copytree(split.root, tmp_path / "copy")
    change(tmp_path / "copy")
    assert changes(split, tmp_path / "copy") == (
        [f"in the split 'train' {expected}"] if expected else []
    )


def test_changes_of_arrays_are_named(rng):
    images = rng.integers(0, 256, (5, 32, 32, 3)).astype("uint8")
    labels = np.arange(5, dtype="int32")
    before = fingerprint.of_arrays(("a", "b"), images, labels)
    assert fingerprint.changes({"train": before}, {"train": before}) == []
    images[3, 0, 0, 0] ^= 1
    labels[4] = 0
    found = fingerprint.of_arrays(("a", "b"), images, labels)
    (change,) = fingerprint.changes({"train": before}, {"train": found})
    assert change.endswith("2 of 5 images were changed: 3 (image), 4 (label)")
