"""JSON files, and atomic writes: files and folders appear under their names when complete.

Temporary names start with `.tmp-`, contain the host and the process, and end in the final name.
Only a killed process leaves one behind; the next process that writes to the folder removes it.
"""

import contextlib
import functools
import json
import os
import re
import secrets
import shutil
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def check_writable(folder: str | os.PathLike) -> None:
    """Checks that files can be written to a folder, which need not exist, without creating it.

    Raises:
        NotADirectoryError: if the folder, or one that it is in, is a file.
        PermissionError: if this process may not write to it.
    """
    path = Path(folder).absolute()
    existing = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
    if not existing.is_dir():
        raise NotADirectoryError(
            f"{existing} is not a folder, so no files can be written to it. Choose another folder. "
            f"Received: folder={os.fspath(folder)!r}"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(
            f"Files cannot be written to {existing}. Choose another folder, or change its "
            f"permissions. Received: folder={os.fspath(folder)!r}"
        )


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[Path]:
    """Context manager that writes a file atomically.

    It yields a temporary path in the same folder, to be written to by the body. If the body
    succeeds, that file replaces `path`; if it raises, the file is deleted and `path` unchanged.
    Writers in other threads, processes or machines get different temporary paths.

    Args:
        path: the file. Missing parent folders are created.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: str | os.PathLike, *default: Any) -> Any:
    """Reads a JSON object as a dict, or returns `default`, if given, for a missing file.

    Raises:
        FileNotFoundError: if the file does not exist and there is no default.
        ValueError: if the file is damaged or contains something else.
    """
    path = Path(path)
    if default and not path.exists():
        return default[0]
    try:
        found = json.loads(path.read_text())
    except ValueError as error:  # of the text encoding as well
        raise _not_json(path, f"it is damaged ({error})") from error
    if not isinstance(found, dict):
        raise _not_json(path, f"it contains a {type(found).__name__}")
    return found


def _not_json(path, reason):
    return ValueError(
        f"Expected a JSON object, but {reason}. Restore the file or remove it. "
        f"Received: {str(path)!r}"
    )


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes indented JSON atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Context manager that writes a folder atomically.

    It yields a new, empty folder next to `path`, to be filled by the body. If the body succeeds,
    that folder is renamed to `path`; if it raises, the folder is deleted.

    Args:
        path: the folder. Missing parent folders are created.

    Raises:
        OSError: if `path` exists and is not an empty folder.
    """
    temporary = _temporary(path)
    temporary.mkdir()  # unlike `tempfile.mkdtemp`, with the permissions of an ordinary folder
    try:
        yield temporary
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path, exclusive: bool = False) -> None:
    """Removes the temporary files and folders that killed processes left in a folder.

    Args:
        folder: the folder, which need not exist.
        exclusive: whether no other process writes to the folder, so that all are leftovers.
            Otherwise those of running processes and of other machines are kept.
    """
    for path in folder.glob(".tmp-*"):
        if exclusive or _is_abandoned(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Returns whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is that of another user
    return True


def _is_abandoned(path):
    owner = _OWNER.match(path.name)
    return owner is None or (owner["host"] == _host() and not is_running(int(owner["pid"])))


def _host():
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


# A name has: the hash of the host, the process, and a random number.
_OWNER = re.compile(r"\.tmp-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{8}-")
_remove_leftovers_once = functools.cache(remove_leftovers)


def _temporary(path):
    path = Path(path).absolute()
    check_writable(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers_once(path.parent)
    # `secrets` rather than `random`: processes with the same seed must not share a name.
    return path.with_name(f".tmp-{_host()}-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
