"""One training at a time writes to a run folder; what a killed one left is removed."""

import json
import multiprocessing
import os
import socket

import pytest

from training.run.lock import NAME, locked


def hold(run_dir, connection):
    with locked(run_dir):
        connection.send("locked")
        connection.recv()


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a run folder, and the connection that releases it."""
    context = multiprocessing.get_context("fork")  # imports nothing again
    connection, other_end = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path / "run", other_end))
    process.start()
    assert connection.recv() == "locked"
    yield process, connection
    process.kill()
    process.join()


def lock(run_dir):
    with locked(run_dir):
        return json.loads((run_dir / NAME).read_text())


def write_record(run_dir, **record):
    run_dir.mkdir()
    (run_dir / NAME).write_text(json.dumps({"since": "2026-01-01T00:00:00", **record}))


def test_second_process_is_refused_until_the_first_ends_or_is_killed(holder, tmp_path):
    run_dir = tmp_path / "run"
    process, _ = holder
    expected = rf"process {process.pid} on {socket.gethostname()}, since 20.*Received: run_dir="
    for _ in range(2):
        with pytest.raises(FileExistsError, match=expected):
            lock(run_dir)
    process.kill()
    process.join()
    assert (run_dir / NAME).exists()
    assert lock(run_dir)["pid"] == os.getpid()


def test_lock_is_released_and_an_empty_folder_removed(holder, tmp_path):
    process, connection = holder
    connection.send("release")
    process.join()
    assert not (tmp_path / "run").exists()
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "config.json").touch()
    assert os.listdir(tmp_path / "run") == ["config.json"]


def test_lock_of_another_machine_is_respected(tmp_path):
    write_record(tmp_path / "run", pid=1, host="elsewhere")
    with pytest.raises(
        FileExistsError, match=r"process 1 on elsewhere, since 2026-01-01T00.*remove .*lock\.json"
    ):
        lock(tmp_path / "run")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 3}'])
def test_damaged_lock_of_a_killed_process_is_taken_over(content, tmp_path):
    (tmp_path / NAME).write_text(content)
    assert lock(tmp_path)["pid"] == os.getpid()


def test_lock_works_without_support_of_the_file_system(monkeypatch, tmp_path):
    def unsupported(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    write_record(tmp_path / "dead", pid=2**22 + 1, host=socket.gethostname())
    assert lock(tmp_path / "dead")["pid"] == os.getpid()
    write_record(tmp_path / "alive", pid=os.getppid(), host=socket.gethostname())
    with pytest.raises(FileExistsError, match=f"process {os.getppid()} on"):
        lock(tmp_path / "alive")


def test_leftovers_in_a_run_folder_are_removed(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for left in (".tmp-00000000-1-00000000-last.keras", "checkpoints/.tmp-1-step-0000000002.npz"):
        (tmp_path / left).touch()
    (tmp_path / "last.keras").touch()
    lock(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["checkpoints", "last.keras"]
    assert not os.listdir(tmp_path / "checkpoints")
