"""Names, patterns and atomic writes."""

import pytest

from saved_models.beam import files

PATHS = [
    "/data/a/1.jpg",
    "/data/b/1.jpg",
    "/data/a/1.png",
    "/data/1.jpg",
    "/data/./1.jpg",
    "/data/../1.jpg",
    "/data//1.jpg",
    "/data/" + "x" * 300 + ".jpg",
    "/data/" + "x" * 301 + ".jpg",
    "/data/" + "\N{SNOWMAN}" * 100 + ".jpg",
]


def test_names_are_unique_and_stay_in_the_folder():
    names = [files.output_name(path, "/data/") for path in PATHS]
    assert len(set(names)) == len(names)
    for name in names:
        parts = name.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert max(len(part.encode()) for part in parts) <= files.LONGEST
    assert names[0] == "a/1.jpg"


def test_names_do_not_depend_on_other_images_or_the_pattern(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.jpg").touch()
    monkeypatch.chdir(tmp_path)
    for pattern in ("a", "a/", "a/*.jpg", "a/1.jpg", f"{tmp_path}/a/**", "./a/?.jpg"):
        images = files.find_images(pattern)
        [path] = files.paths_of(images.pattern)
        assert files.output_name(path, images.root) == "1.jpg"


def test_failed_write_changes_nothing(tmp_path):
    path = tmp_path / "a/b.json"
    files.write(str(path), b"old")
    with pytest.raises(TypeError), files.atomic_file(str(path)) as file:
        file.write("not bytes")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_names_that_end_like_archives_are_not_compressed(tmp_path):
    path = str(tmp_path / "a.gz")
    files.write(path, b"plain")
    assert (tmp_path / "a.gz").read_bytes() == b"plain"
    assert files.read(path) == b"plain"
    assert files.read(path, 2) == b"pl"
