"""From a checkpoint, a file or a mapping, to a flat dict of tensors; nothing in it is run."""

import contextlib
import os
import pickle
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

# Under which keys training scripts put the tensors, beside epoch, optimizer and score.
WRAPPERS = ("state_dict", "model")
# What `DataParallel` puts before every name.
REPLICA = "module."
SUFFIXES = (".pth", ".pth.tar", ".pt")
# No published checkpoint comes near; an archive that claims more isn't one.
MOST_BYTES = 8 * 2**30


def read_tensors(checkpoint):
    """Returns the tensors of a checkpoint by name, without wrapper and without prefix.

    Args:
        checkpoint: a path, or a mapping of names to arrays or tensors.

    Returns:
        A new dict of name to NumPy array or PyTorch tensor, not copied.

    Raises:
        TypeError: for anything else.
        ValueError: for a file that can't be read, or a mapping of other things.
        ImportError: for a path, without torch.
    """
    if isinstance(checkpoint, (str, os.PathLike)):
        checkpoint = _load(Path(checkpoint))
    if not isinstance(checkpoint, Mapping):
        raise TypeError(
            "A checkpoint is a path or a mapping of names to arrays, such as "
            f"`module.state_dict()`. Received: {type(checkpoint)}"
        )
    for key in WRAPPERS:
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    names = list(checkpoint)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"A checkpoint's names must be text. Received: {names[:5]}")
    prefix = ""
    while names and all(name.startswith(prefix + REPLICA) for name in names):
        prefix += REPLICA
    return {name.removeprefix(prefix): _shaped(checkpoint[name]) for name in names}


def to_numpy(tensor):
    """Returns a tensor as a float32 array, without a copy where it is one."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().float().numpy()
    return np.asarray(tensor, "float32")


def _shaped(value):
    return value if hasattr(value, "shape") else np.asarray(value)


def _load(path):
    torch = _import_torch(path)
    with open(path, "rb"):
        pass  # A missing or unreadable file is an OSError that names it.
    try:
        with unpacked(path) as place, torch.serialization.safe_globals(_numpy_scalars()):
            checkpoint = torch.load(
                place,
                map_location="cpu",
                weights_only=True,
                # Pages of what isn't wanted, such as the optimizer's state, are never read.
                mmap=zipfile.is_zipfile(place),
            )
        if not isinstance(checkpoint, Mapping):
            raise NotACheckpointError(f"it holds a {type(checkpoint).__name__}, not a state dict")
    except Exception as error:
        raise ValueError(
            f"Could not read the checkpoint: {_reason(error)}. Received: checkpoint={str(path)!r}"
        ) from error
    return checkpoint


class NotACheckpointError(Exception):
    """Says what a file is instead of a checkpoint."""


def _reason(error):
    if isinstance(error, NotACheckpointError):
        return str(error)
    # torch says at length how to switch its check off, which isn't advice for foreign files.
    if isinstance(error, pickle.UnpicklingError) and "unsupported" in str(error).lower():
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        return (
            "it holds more than tensors, numbers and text, which could be harmful, and was not run"
            + (f": {name[1]}" if name else "")
        )
    return "it is truncated, damaged, or not a PyTorch checkpoint"


def _import_torch(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "Reading a PyTorch file needs torch: pip install 'keras-encnet[convert]'. A mapping of "
            f"names to arrays needs none. Received: checkpoint={str(path)!r}"
        ) from error
    return torch


def _numpy_scalars():
    """What pickles of NumPy scalars refer to: published files hold one as their best score."""
    restore = np.float64(0).__reduce__()[0]
    # By its name in NumPy 1 and 2: files of the one are read with the other.
    restores = [(restore, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    kinds = ("float16", "float32", "float64", "int32", "int64", "bool")
    return [*restores, np.dtype, *(type(np.dtype(kind)) for kind in kinds)]


@contextlib.contextmanager
def unpacked(path):
    """Yields where `path`'s checkpoint can be read: itself, or out of an archive around it.

    PyTorch's newer serialization is a zip archive, too, whatever its file is called.
    """
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
            raise NotACheckpointError(f"it is an archive, but not of one checkpoint: {found}")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            # Under a name of ours: an archive's names may lead anywhere.
            place = Path(folder) / "checkpoint.pth"
            with archive.open(inner[0]) as source, open(place, "wb") as target:
                shutil.copyfileobj(source, target, 2**20)
            yield place
