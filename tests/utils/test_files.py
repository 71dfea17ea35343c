import threading

import pytest

from keras_encnet.utils.files import atomic_file, atomic_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced_only_when_complete(tmp_path):
    path = tmp_path / "runs" / "scores.json"
    for text in ("first", "second"):
        with atomic_file(path) as temporary:
            temporary.write_text(text)
            assert temporary.suffix == ".json"  # writers that choose a format by it
        assert path.read_text() == text
    assert names(path.parent) == ["scores.json"]


def fill(path, error):
    path.write_text("half")
    raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_write_leaves_the_file_unchanged(tmp_path, error):
    path = tmp_path / "scores.json"
    path.write_text("before")
    with pytest.raises(error), atomic_file(path) as temporary:
        fill(temporary, error)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["scores.json"]


def test_concurrent_writers_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "mask.png"
    both = threading.Barrier(2)

    def write(text):
        with atomic_file(path) as temporary:
            temporary.write_text(text)
            both.wait()

    threads = [threading.Thread(target=write, args=(text * 1000,)) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in ("a" * 1000, "b" * 1000)
    assert names(tmp_path) == ["mask.png"]


def test_folder_appears_when_complete(tmp_path):
    path = tmp_path / "models" / "1"
    with atomic_folder(path) as temporary:
        (temporary / "weights").write_text("0")
        assert not path.exists()
    assert names(path) == ["weights"]
    assert names(path.parent) == ["1"]
    (tmp_path / "ordinary").mkdir()
    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "1") as temporary:
        fill(temporary / "weights", KeyboardInterrupt)
    assert names(tmp_path) == []


def test_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "weights").write_text("before")
    with pytest.raises(OSError), atomic_folder(tmp_path / "1") as temporary:
        (temporary / "weights").write_text("after")
    assert (tmp_path / "1" / "weights").read_text() == "before"
    assert names(tmp_path) == ["1"]


def test_leftovers_of_a_killed_process_are_recognizable(tmp_path):
    with atomic_file(tmp_path / "step.npz") as temporary:
        temporary.write_text("")
        assert [path.name for path in tmp_path.glob(".tmp-*-step.npz")] == [temporary.name]
