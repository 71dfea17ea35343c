import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from training.input.folder import read_mask, read_split
from training.input.image_files import decode_mask


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


def png(ids, depth, color):
    """Encodes a PNG of any depth, 1 to 16 bits, gray (color 0) or of a palette (color 3)."""

    def chunk(kind, data):
        length, checksum = len(data), zlib.crc32(kind + data)
        return struct.pack(">I4s", length, kind) + data + struct.pack(">I", checksum)

    rows = ["".join(format(i, f"0{depth}b") for i in row) for row in ids]
    packed = [np.packbits([int(bit) for bit in row]).tobytes() for row in rows]
    header = struct.pack(">IIBBBBB", len(ids[0]), len(ids), depth, color, 0, 0, 0)
    palette = np.random.default_rng(0).integers(0, 256, 3 * min(2**depth, 256), "uint8").tobytes()
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"PLTE", palette) if color == 3 else b"",
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))),
            chunk(b"IEND", b""),
        ]
    )


def test_a_split_has_the_files_of_its_stems_in_the_order_of_the_list(tmp_path):
    write_folder(tmp_path, {"train": ["b", "a", "city/c.d"]})
    split = read_split(tmp_path, "train")
    assert len(split) == 3
    assert split.name == "train"
    assert split.root == tmp_path
    assert split.stems == ("b", "a", "city/c.d")
    assert split.class_names == ("sky", "road")
    assert split.image_paths == tuple(tmp_path / "images" / f"{s}.png" for s in split.stems)
    assert split.mask_paths == tuple(tmp_path / "labels" / f"{s}.png" for s in split.stems)


def test_splits_join_with_a_plus(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"], "val": ["c"]})
    assert read_split(str(tmp_path), "train+val").stems == ("a", "b", "c")
    assert read_split(tmp_path, "train+val").name == "train+val"


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".bmp", ".JPG"])
def test_every_image_suffix_is_found(tmp_path, suffix):
    write_folder(tmp_path, {"train": ["a"]}, suffix=suffix)
    assert read_split(tmp_path, "train").image_paths == (tmp_path / "images" / f"a{suffix}",)


def test_lists_written_on_windows_are_read(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"]})
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbfa\r\n\r\nb\r\n")
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfsky \r\nroad\r\n")
    split = read_split(tmp_path, "train")
    assert split.stems == ("a", "b")
    assert split.class_names == ("sky", "road")


def test_images_can_be_left_out(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b", "c"]})
    split = read_split(tmp_path, "train").without(["b"])
    assert split.stems == ("a", "c")
    assert [path.name for path in split.image_paths] == ["a.png", "c.png"]
    assert [path.name for path in split.mask_paths] == ["a.png", "c.png"]
    assert split.without([]) == split
    with pytest.raises(ValueError, match=r"no such images.*Received: stems=b"):
        split.without(["b"])
    with pytest.raises(ValueError, match=r"No image.*Received: stems=a, c"):
        split.without(["a", "c"])


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder. Received: root='.*nowhere'"):
        read_split(tmp_path / "nowhere", "train")


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`classes.txt`.*Received: root="):
        read_split(tmp_path, "train")


@pytest.mark.parametrize(
    "classes", [(), ("sky",), ("sky", "sky"), ("sky", "", "road"), ("", "sky", "road")]
)
def test_class_names_that_leave_ids_in_doubt_are_an_error(tmp_path, classes):
    write_folder(tmp_path, {"train": ["a"]}, classes)
    with pytest.raises(ValueError, match=r"two names or more, one a line.*Received: names="):
        read_split(tmp_path, "train")


@pytest.mark.parametrize("split", ["trian", "train+trian", "classes", ""])
def test_a_misspelt_split_is_an_error_that_names_those_there_are(tmp_path, split):
    write_folder(tmp_path, {"train": ["a"], "val": ["b"]})
    message = re.escape(f"there are train, val. Received: split='{split}'")
    with pytest.raises(FileNotFoundError, match=message):
        read_split(tmp_path, split)


def test_an_empty_split_is_an_error(tmp_path):
    write_folder(tmp_path, {"train": ["a"], "val": []})
    with pytest.raises(ValueError, match=r"val.txt is empty.*Received: split='val'"):
        read_split(tmp_path, "val")


def test_a_stem_without_an_image_is_an_error_that_lists_the_first_ten(tmp_path):
    stems = [f"s{i:02d}" for i in range(13)]
    write_folder(tmp_path, {"train": stems})
    for stem in stems[1:]:
        (tmp_path / "images" / f"{stem}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"12 of 13 stems: s01.*, s10 and 2 more\. Add"):
        read_split(tmp_path, "train")


def test_an_image_without_a_mask_is_an_error(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"]})
    (tmp_path / "labels" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"`labels/<stem>`.*1 of 2 stems: b\. Add"):
        read_split(tmp_path, "train")


def test_a_data_set_without_masks_is_an_error(tmp_path):
    write_folder(tmp_path, {"train": ["a"]})
    (tmp_path / "labels" / "a.png").unlink()
    (tmp_path / "labels").rmdir()
    with pytest.raises(FileNotFoundError, match=r"`labels/<stem>`.*1 of 1 stems: a\. Add"):
        read_split(tmp_path, "train")


def test_two_images_of_one_stem_are_an_error(tmp_path):
    write_folder(tmp_path, {"train": ["a", "b"]})
    (tmp_path / "images" / "b.jpg").touch()
    with pytest.raises(ValueError, match=r"Several files in `images` have one stem.*: b\. Rec"):
        read_split(tmp_path, "train")


@pytest.mark.parametrize("split", ["train", "val+test"])
def test_a_repeated_stem_is_an_error(tmp_path, split):
    write_folder(tmp_path, {"train": ["a", "b", "a"], "val": ["a"], "test": ["a"]})
    with pytest.raises(ValueError, match=r"once only. Remove the repetitions of a\. Received"):
        read_split(tmp_path, split)


@pytest.mark.parametrize(
    ("depth", "color"), [*((d, 0) for d in (1, 2, 4, 8, 16)), *((d, 3) for d in (1, 2, 4, 8))]
)
def test_a_mask_is_the_numbers_that_the_file_stores(tmp_path, depth, color):
    ids = np.random.default_rng(0).integers(0, 2**depth, (5, 7))
    path = str(tmp_path / "mask.png")
    (tmp_path / "mask.png").write_bytes(png(ids, depth, color))
    # What checks the data and what trains on them have decoders of their own, which must agree.
    for mask in read_mask(path), decode_mask(path).numpy():
        assert mask.dtype == "int32"
        np.testing.assert_array_equal(mask, ids)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_a_mask_of_several_channels_is_an_error(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"one channel.*Received: path="):
        read_mask(tmp_path / "mask.png")


def test_a_float_mask_in_the_guise_of_a_png_is_an_error(tmp_path):
    Image.new("F", (3, 2)).save(tmp_path / "mask.png", "TIFF")
    with pytest.raises(ValueError, match=r"must be a PNG file. Received: path="):
        read_mask(tmp_path / "mask.png")


def test_a_truncated_mask_is_an_error(tmp_path):
    ids = np.random.default_rng(0).integers(0, 2, (50, 70), "uint8")
    Image.fromarray(ids).save(tmp_path / "mask.png")
    data = (tmp_path / "mask.png").read_bytes()
    (tmp_path / "mask.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(OSError, match="truncated"):
        read_mask(tmp_path / "mask.png")
