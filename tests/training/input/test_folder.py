import re

import numpy as np
import pytest
from PIL import Image

from training.input.folder import read_split


def write_folder(root, splits, classes=("sky", "road"), suffix=".png"):
    """Writes a data set whose every image has 3x2 pixels of class 1."""
    for name, stems in splits.items():
        (root / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems))
        for stem in stems:
            for folder, end, shape in (("images", suffix, (2, 3, 3)), ("labels", ".png", (2, 3))):
                path = root / folder / f"{stem}{end}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.ones(shape, "uint8")).save(path)
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    return root


def test_files_are_in_the_order_of_the_list(tmp_path):
    write_folder(tmp_path, {"train": ["b", "a", "city/c.d"]})
    split = read_split(tmp_path, "train")
    assert len(split) == 3
    assert split.name == "train"
    assert split.root == tmp_path
    assert split.stems == ("b", "a", "city/c.d")
    assert split.class_names == ("sky", "road")
    assert split.image_paths == tuple(tmp_path / "images" / f"{s}.png" for s in split.stems)
    assert split.mask_paths == tuple(tmp_path / "labels" / f"{s}.png" for s in split.stems)


def test_splits_can_be_joined_by_a_plus(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"], "val": ["c"]})
    assert read_split(str(tmp_path), "train+val").stems == ("a", "b", "c")
    assert read_split(tmp_path, "train+val").name == "train+val"


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".bmp", ".JPG"])
def test_every_image_suffix_is_found(tmp_path, suffix):
    write_folder(tmp_path, {"train": ["a"]}, suffix=suffix)
    assert read_split(tmp_path, "train").image_paths == (tmp_path / "images" / f"a{suffix}",)


def test_byte_order_mark_and_crlf_are_accepted(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"]})
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbfa\r\n\r\nb\r\n")
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfsky \r\nroad\r\n")
    split = read_split(tmp_path, "train")
    assert split.stems == ("a", "b")
    assert split.class_names == ("sky", "road")


def test_without_removes_images(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b", "c"]})
    split = read_split(tmp_path, "train").without(["b"])
    assert split.stems == ("a", "c")
    assert [path.name for path in split.image_paths] == ["a.png", "c.png"]
    assert [path.name for path in split.mask_paths] == ["a.png", "c.png"]
    assert split.without([]) == split
    with pytest.raises(ValueError, match=r"must be images of the split.*Received: stems=b"):
        split.without(["b"])
    with pytest.raises(ValueError, match=r"No image.*Received: stems=a, c"):
        split.without(["a", "c"])


def test_missing_folder_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist. Received: root='.*nowhere'"):
        read_split(tmp_path / "nowhere", "train")


def test_missing_class_names_raise(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`classes.txt`.*Received: root="):
        read_split(tmp_path, "train")


@pytest.mark.parametrize(
    "classes", [(), ("sky",), ("sky", "sky"), ("sky", "", "road"), ("", "sky", "road")]
)
def test_ambiguous_class_names_raise(tmp_path, classes):
    write_folder(tmp_path, {"train": ["a"]}, classes)
    with pytest.raises(ValueError, match=r"at least two names, one per line.*Received: names="):
        read_split(tmp_path, "train")


@pytest.mark.parametrize("split", ["trian", "train+trian", "classes", ""])
def test_unknown_split_error_lists_the_splits(tmp_path, split):
    write_folder(tmp_path, {"train": ["a"], "val": ["b"]})
    message = re.escape(f"choose one of these splits: train, val. Received: split='{split}'")
    with pytest.raises(FileNotFoundError, match=message):
        read_split(tmp_path, split)


def test_empty_split_raises(tmp_path):
    write_folder(tmp_path, {"train": ["a"], "val": []})
    with pytest.raises(ValueError, match=r"val.txt is empty.*Received: split='val'"):
        read_split(tmp_path, "val")


def test_missing_images_raise_with_the_first_ten_stems(tmp_path):
    stems = [f"s{i:02d}" for i in range(13)]
    write_folder(tmp_path, {"train": stems})
    for stem in stems[1:]:
        (tmp_path / "images" / f"{stem}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"12 of 13 stems: s01.*, s10 and 2 more\. Add"):
        read_split(tmp_path, "train")


def test_missing_mask_raises(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"]})
    (tmp_path / "labels" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"`labels/<stem>`.*1 of 2 stems: b\. Add"):
        read_split(tmp_path, "train")


def test_missing_labels_folder_raises(tmp_path):
    write_folder(tmp_path, {"train": ["a"]})
    (tmp_path / "labels" / "a.png").unlink()
    (tmp_path / "labels").rmdir()
    with pytest.raises(FileNotFoundError, match=r"`labels/<stem>`.*1 of 1 stems: a\. Add"):
        read_split(tmp_path, "train")


def test_two_images_with_the_same_stem_raise(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"]})
    (tmp_path / "images" / "b.jpg").touch()
    with pytest.raises(ValueError, match=r"Several files in `images` have the same stem.*: b\."):
        read_split(tmp_path, "train")


@pytest.mark.parametrize("split", ["train", "val+test"])
def test_repeated_stems_raise(tmp_path, split):
    write_folder(tmp_path, {"train": ["a", "b", "a"], "val": ["a"], "test": ["a"]})
    with pytest.raises(ValueError, match=r"only once. Remove the repetitions of a\. Received"):
        read_split(tmp_path, split)
