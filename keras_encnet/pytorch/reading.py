"""Reading of checkpoints, files or mappings, as flat dicts of tensors, without running code."""

import contextlib
import os
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

# Keys under which training scripts store the tensors, next to epoch, optimizer and score.
WRAPPERS = ("state_dict", "model")
# Prefix that `DataParallel` adds to every name.
REPLICA = "module."
SUFFIXES = (".pth", ".pth.tar", ".pt")
# Far more than any published checkpoint has.
MOST_BYTES = 8 * 2**30


def read_tensors(checkpoint: str | os.PathLike | Mapping) -> dict[str, Any]:
    """Returns the tensors of a checkpoint by name.

    Args:
        checkpoint: a path, or a mapping of names to arrays or tensors. The mapping may be nested
            in `state_dict` or `model`, and names may start with `module.`.

    Returns:
        A new dict from names to NumPy arrays or PyTorch tensors, which are not copied.

    Raises:
        TypeError: if `checkpoint` is neither a path nor a mapping.
        ValueError: for a file that cannot be read, or names that are not text.
        ImportError: for a path, if torch is not installed.
        OSError: if a file cannot be opened.
    """
    found: Any = checkpoint
    if isinstance(checkpoint, (str, os.PathLike)):
        found = _load(Path(checkpoint))
    if not isinstance(found, Mapping):
        raise TypeError(
            "`checkpoint` must be a path or a mapping of names to arrays, such as "
            f"`module.state_dict()`. Received: {type(checkpoint)}"
        )
    for key in WRAPPERS:
        if isinstance(found.get(key), Mapping):
            found = found[key]
    names = list(found)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"The names in a checkpoint must be text. Received: {names[:5]}")
    prefix = ""
    while names and all(name.startswith(prefix + REPLICA) for name in names):
        prefix += REPLICA
    return {name.removeprefix(prefix): _shaped(found[name]) for name in names}


def to_numpy(tensor: Any) -> np.ndarray:
    """Returns a tensor as a float32 array, without a copy if it is one already."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().float().numpy()
    return np.asarray(tensor, "float32")


def _shaped(value):
    return value if hasattr(value, "shape") else np.asarray(value)


def _load(path):
    torch = _import_torch(path)
    with open(path, "rb"):
        pass  # raises an OSError with the path if the file is missing or unreadable
    try:
        with unpacked(path) as file, torch.serialization.safe_globals(_numpy_scalars()):
            checkpoint = torch.load(
                file,
                map_location="cpu",
                weights_only=True,
                # Unused parts, such as the optimizer's state, are not read.
                mmap=zipfile.is_zipfile(file),
            )
        if not isinstance(checkpoint, Mapping):
            raise NotACheckpointError(
                f"it contains a {type(checkpoint).__name__}, not a state dict"
            )
    except Exception as error:
        raise ValueError(
            f"Could not read the checkpoint: {_reason(error)}. Received: checkpoint={str(path)!r}"
        ) from error
    return checkpoint


class NotACheckpointError(Exception):
    """A file that is not a checkpoint; the message says what it is."""


def _reason(error):
    if isinstance(error, NotACheckpointError):
        return str(error)
    # torch's message explains how to disable its check, which is bad advice for untrusted files.
    if isinstance(error, pickle.UnpicklingError) and "unsupported" in str(error).lower():
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        return (
            "it contains more than tensors, numbers and text, which can be harmful and was not run"
            + (f": {name[1]}" if name else "")
        )
    return "it is truncated, damaged, or not a PyTorch checkpoint"


def _import_torch(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "Reading a PyTorch file requires torch: pip install 'keras-encnet[convert]'. A mapping "
            f"of names to arrays does not. Received: checkpoint={str(path)!r}"
        ) from error
    return torch


def _numpy_scalars():
    """Returns the globals in pickles of NumPy scalars: published files store one as a score."""
    restore = np.float64(0).__reduce__()[0]
    # Under its names in NumPy 1 and 2, as files written by one are read with the other.
    restores = [(restore, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    kinds = ("float16", "float32", "float64", "int32", "int64", "bool")
    return [*restores, np.dtype, *(type(np.dtype(kind)) for kind in kinds)]


@contextlib.contextmanager
def unpacked(path: str | os.PathLike) -> Iterator[Path]:
    """Context manager that yields `path`, or the checkpoint file in the archive `path`.

    PyTorch's new serialization is a zip archive as well, whatever the file's suffix.

    Raises:
        NotACheckpointError: for an archive that does not contain exactly one checkpoint.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        yield path
        return
    with zipfile.ZipFile(path) as archive:
        members = [(PurePosixPath(member.filename), member) for member in archive.infolist()]
        if any(name.name == "data.pkl" for name, _ in members):
            yield path
            return
        inner = [
            member
            for name, member in members
            if name.name.endswith(SUFFIXES) and "__MACOSX" not in name.parts
        ]
        if len(inner) != 1 or inner[0].file_size > MOST_BYTES:
            found = [member.filename for member in inner[:5]]
            raise NotACheckpointError(f"it is not an archive of exactly one checkpoint: {found}")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            # Not under the archive's name, which may be a path to anywhere.
            file = Path(folder) / "checkpoint.pth"
            with archive.open(inner[0]) as source, open(file, "wb") as target:
                shutil.copyfileobj(source, target, 2**20)
            yield file
