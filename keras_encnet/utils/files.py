"""Files and folders that are there whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path


@contextlib.contextmanager
def whole_folder(path):
    """Gives a folder beside `path`, which gets that name only when all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield place
        place.chmod(0o755)  # mkdtemp's folders are readable to their owner alone
        os.rename(place, path)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def whole_file(path):
    """Gives a path beside `path`; the file there gets that name only when all went well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield place
        os.replace(place, path)
    finally:
        place.unlink(missing_ok=True)
