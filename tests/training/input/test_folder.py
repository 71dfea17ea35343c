import itertools
import re

import numpy as np
import pytest
from PIL import Image

from training.input.folder import overlap_problem, read_split
from training.input.split_lists import held_out, select, split_names


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
    with pytest.raises(FileNotFoundError, match=r"no folder `labels`, which it needs.*import_data"):
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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_lists_may_be_in_utf_16(tmp_path, encoding):
    write_folder(tmp_path, {"train": ["a", "b"]})
    (tmp_path / "train.txt").write_bytes("a\r\nb\r\n".encode(encoding))
    (tmp_path / "classes.txt").write_bytes("Stra\u00dfe\r\nsky\r\n".encode(encoding))
    split = read_split(tmp_path, "train")
    assert split.stems == ("a", "b")
    assert split.class_names == ("Stra\u00dfe", "sky")


@pytest.mark.parametrize("name", ["train.txt", "classes.txt"])
def test_lists_in_latin_1_raise_with_file_and_line(tmp_path, name):
    write_folder(tmp_path, {"train": ["a"]})
    (tmp_path / name).write_bytes("a\nStra\u00dfe\n".encode("latin-1"))
    with pytest.raises(ValueError, match=rf"not in UTF-8 \(line 2\).*iconv.*{re.escape(name)}'"):
        read_split(tmp_path, "train")


@pytest.mark.parametrize(
    "line", ["city/a.png", "./city/a", "images/city/a", "images/city/a.png", "city\\a.PNG"]
)
def test_lines_may_have_suffixes_and_folders(tmp_path, line):
    write_folder(tmp_path, {"train": ["city/a"]})
    (tmp_path / "train.txt").write_text(line)
    split = read_split(tmp_path, "train")
    assert split.stems == ("city/a",)
    assert split.mask_paths == (tmp_path / "labels/city/a.png",)


def test_a_stem_may_end_like_a_suffix(tmp_path):
    write_folder(tmp_path, {"train": ["a.png", "a"]})
    assert read_split(tmp_path, "train").stems == ("a.png", "a")


@pytest.mark.parametrize("line", ["../a", "/a", "x/../../a", "..\\a"])
def test_lines_must_stay_inside_of_the_folder(tmp_path, line):
    write_folder(tmp_path, {"train": ["a"]})
    (tmp_path / "train.txt").write_text(line)
    with pytest.raises(ValueError, match=r"inside the folder `images`.*Received: "):
        read_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("listed", "image", "mask"), itertools.product(["f\u00fcr", "fu\u0308r"], repeat=3)
)
def test_composed_and_decomposed_names_are_the_same(tmp_path, listed, image, mask):
    write_folder(tmp_path, {"train": ["a"]})
    (tmp_path / "images/a.png").rename(tmp_path / f"images/{image}.png")
    (tmp_path / "labels/a.png").rename(tmp_path / f"labels/{mask}.png")
    (tmp_path / "train.txt").write_text(listed)
    split = read_split(tmp_path, "train")
    assert split.image_paths == (tmp_path / f"images/{image}.png",)
    assert split.mask_paths == (tmp_path / f"labels/{mask}.png",)


@pytest.mark.parametrize(
    ("name", "other"), [("images", "Images"), ("images", "JPEGImages"), ("labels", "Masks")]
)
def test_folders_of_other_names_are_recognized(tmp_path, name, other):
    write_folder(tmp_path, {"train": ["a"]})
    (tmp_path / name).rename(tmp_path / other)
    message = f"no folder `{name}`, but '{other}'. Rename .*import_data"
    with pytest.raises(FileNotFoundError, match=message):
        read_split(tmp_path, "train")


def test_other_text_files_are_not_splits(tmp_path):
    write_folder(tmp_path, {"train": ["a"], "folds": ["a"], "val": []})
    (tmp_path / "README.txt").write_text("Photos of streets.\n\n/etc/passwd\n../a\n")
    (tmp_path / "values.txt").write_text("1 2 3")
    (tmp_path / "notes.txt").write_bytes("Stra\u00dfe".encode("latin-1"))
    assert split_names(tmp_path) == ["folds", "train", "val"]


def test_without_validation_images_a_share_is_suggested(tmp_path):
    write_folder(tmp_path, {"train": ["a"]})
    with pytest.raises(FileNotFoundError, match="with `--val-share 0.2`, or choose.*: train. Rec"):
        read_split(tmp_path, "val")


def test_a_part_and_its_rest_are_the_split(tmp_path):
    write_folder(tmp_path, {"train": [f"s{i}" for i in range(40)]})
    rest, held = (read_split(tmp_path, name) for name in held_out("train", "val", 0.2))
    assert {*rest.stems, *held.stems} == set(read_split(tmp_path, "train").stems)
    assert len(rest) + len(held) == 40
    assert 3 <= len(held) <= 13
    assert held.stems == tuple(s for s in read_split(tmp_path, "train").stems if s in held.stems)


def test_images_keep_their_part_when_others_are_added():
    stems = [f"s{i}" for i in range(200)]
    few, many = select(stems[:100], 0.3), select(stems, 0.3)
    assert set(few) == set(many) & set(stems[:100])


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_no_part_is_empty(share):
    assert select(["a", "b"], share) + select(["a", "b"], -share) in (["a", "b"], ["b", "a"])


@pytest.mark.parametrize(
    "lines",
    [["0 sky", "1 road"], ["0: sky", "1: road"], ["0,sky", "1,road"], ["0\tsky", "1\troad"]],
)
def test_ids_in_front_of_class_names_are_dropped(tmp_path, lines):
    write_folder(tmp_path, {"train": ["a"]}, classes=lines)
    assert read_split(tmp_path, "train").class_names == ("sky", "road")


@pytest.mark.parametrize("lines", [["1 sky", "2 road"], ["1: sky", "0: road"]])
def test_ids_that_are_not_those_of_the_lines_raise(tmp_path, lines):
    write_folder(tmp_path, {"train": ["a"]}, classes=lines)
    with pytest.raises(ValueError, match=r"has ids in front of the names.*Received: names="):
        read_split(tmp_path, "train")


def test_class_names_may_start_with_numbers(tmp_path):
    write_folder(tmp_path, {"train": ["a"]}, classes=["1 euro", "2 euro", "50 cent"])
    assert read_split(tmp_path, "train").class_names == ("1 euro", "2 euro", "50 cent")


def test_images_of_two_splits_are_reported_unless_one_is_named_in_the_other(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"], "val": ["b", "c"], "test": ["d"]})
    train, val, test = (read_split(tmp_path, name) for name in ("train", "val", "test"))
    assert "1 of the 2 images of the split 'val' are in 'train'" in overlap_problem(train, val)
    assert overlap_problem(train, test) == ""
    (tmp_path / "train.txt").write_text("a")
    assert overlap_problem(read_split(tmp_path, "train+val"), val) == ""
