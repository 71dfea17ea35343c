import multiprocessing
import os
import signal
import threading

import pytest

from keras_encnet.utils.files import (
    atomic_file,
    atomic_folder,
    check_writable,
    read_json,
    remove_leftovers,
    write_json,
)


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


def killed_writer(folder):
    """Lets a process kill itself while it writes a file and a folder; returns what it left."""

    def write():
        with atomic_file(folder / "last.keras") as one, atomic_folder(folder / "1") as two:
            one.write_text("half")
            (two / "weights").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=write)  # imports nothing again
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return names(folder)


def test_leftovers_of_a_killed_process_are_removed_by_the_next_writer(tmp_path):
    assert len(killed_writer(tmp_path)) == 2
    with atomic_file(tmp_path / "other.json") as temporary:
        temporary.write_text("{}")
    assert names(tmp_path) == ["other.json"]


def test_temporary_files_of_running_processes_and_other_machines_are_kept(tmp_path):
    with atomic_file(tmp_path / "step.npz") as temporary:
        temporary.write_text("")
        remote = tmp_path / f".tmp-00000000-{2**22 + 1}-00000000-step.npz"
        remote.touch()
        remove_leftovers(tmp_path)
        assert names(tmp_path) == sorted([temporary.name, remote.name])
    remove_leftovers(tmp_path, exclusive=True)
    assert names(tmp_path) == ["step.npz"]


@pytest.mark.parametrize("content", [b'{"a": 1', b"", b"[1, 2]", b"\xff\xfe{}", b"null"])
def test_damaged_json_raises_with_its_path(content, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a JSON object.*config\.json"):
        read_json(tmp_path / "config.json", {})


def test_json_is_read_as_written_and_may_be_missing(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, None]})
    assert read_json(tmp_path / "a.json") == {"a": [1, None]}
    assert read_json(tmp_path / "b.json", {}) == {}
    with pytest.raises(FileNotFoundError, match=r"b\.json"):
        read_json(tmp_path / "b.json")


@pytest.mark.parametrize("path", ["notes.txt", "notes.txt/sub/folder", "broken/sub"])
def test_a_folder_where_a_file_is_raises_with_the_file(tmp_path, path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "broken").symlink_to("nowhere")
    message = rf"{path.split('/')[0]} is not a folder.*Received: folder='.*{path}'"
    with pytest.raises(NotADirectoryError, match=message):
        check_writable(tmp_path / path)
    with pytest.raises(NotADirectoryError, match=message), atomic_file(tmp_path / path / "file"):
        pytest.fail("entered")


def test_a_folder_without_permission_raises_and_others_are_not_created(tmp_path, monkeypatch):
    check_writable(tmp_path / "new/folder")
    assert names(tmp_path) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(PermissionError, match=rf"cannot be written to {tmp_path}\. .*new/folder'"):
        check_writable(tmp_path / "new/folder")
