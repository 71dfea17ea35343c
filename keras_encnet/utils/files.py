"""Atomic writes: a file or a folder appears under its name only when it is complete.

Temporary names start with `.tmp-` and end in the final name. Only a killed process leaves one.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


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


def _temporary(path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # `secrets` rather than `random`: processes with the same seed must not share a name.
    return path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}")
