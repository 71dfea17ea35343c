"""The lock of a run folder, so that only one training at a time writes to it."""

import contextlib
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from keras_encnet.utils.files import check_writable, is_running, remove_leftovers

NAME = "lock.json"


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Context manager that holds the lock of a run folder, which is created if necessary.

    The lock of a process of this machine that has been killed is taken over, and its temporary
    files are removed. A new folder that is still empty at the end is removed.

    Args:
        run_dir: path of the run folder.

    Raises:
        FileExistsError: if another process holds the lock.
    """
    created = not run_dir.exists()
    path = run_dir / NAME
    with _acquired(path):
        for folder in (run_dir, run_dir / "checkpoints"):
            remove_leftovers(folder, exclusive=True)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            if created:
                with contextlib.suppress(OSError):  # not empty
                    run_dir.rmdir()


def _acquired(path: Path) -> TextIO:
    """Opens a lock file, takes the lock and records this process in it."""
    while True:
        check_writable(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")  # noqa: SIM115, closed by the caller
        try:
            free = _is_free(file)
            file.seek(0)
            _check_holder(file.read(), free, path)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                _record(file)
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its last holder has just removed it


def _is_free(file):
    """Takes the lock of the operating system; returns None if the file system has none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _check_holder(text: str, free: bool | None, path: Path) -> None:
    """Raises FileExistsError if the process that a lock file records may be running."""
    try:
        holder: dict[str, Any] = json.loads(text)
        here, pid = holder["host"] == socket.gethostname(), int(holder["pid"])
        known = f"process {pid} on {holder['host']}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):  # it has not recorded itself
        here, pid, known = True, None, "a process that has just started"
    if free is None:
        free = pid is None or not is_running(pid)
    if not (here and free):
        raise FileExistsError(
            f"Another training writes to this run folder: {known}. Wait until it ends, stop it, or "
            f"choose another folder with --run-dir. If it no longer exists, remove {path}. "
            f"Received: run_dir={str(path.parent)!r}"
        )


def _record(file):
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    file.truncate(0)
    file.write(json.dumps(holder) + "\n")
    file.flush()
