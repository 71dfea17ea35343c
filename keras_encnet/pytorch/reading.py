"""Reading of checkpoints, files or mappings, as flat dicts of tensors, without running code."""

import collections
import contextlib
import os
import pickle
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from keras_encnet.utils.packages import import_optional

# Keys under which training scripts store the tensors, next to epoch, optimizer and score.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
# Prefixes that `DataParallel` and `AveragedModel` add to every name.
REPLICA = "module."
# What `torch.compile` adds to the names of a module, anywhere.
COMPILED = "_orig_mod."
# Modules of the standard library have functions that run commands, and a checkpoint that refers to
# one is refused. These hold data only; `getattr` is how methods are stored, such as statistics.
DATA_OF_STANDARD_LIBRARY = re.compile(
    r"argparse\.Namespace|datetime\.\w+|pathlib\.\w+|functools\.partial|getattr"
)
SUFFIXES = (".pth", ".pth.tar", ".pt")
# Far more than any published checkpoint has.
MOST_BYTES = 8 * 2**30


def read_tensors(checkpoint: str | os.PathLike | Mapping) -> dict[str, Any]:
    """Returns the tensors of a checkpoint by name.

    Args:
        checkpoint: a path, or a mapping of names to arrays or tensors. The mapping may be nested
            in one of `WRAPPERS`. Names lose what `DataParallel` (`module.`) and `torch.compile`
            (`_orig_mod.`) added to them.

    Returns:
        A new dict from names to NumPy arrays or PyTorch tensors, which are not copied.

    Raises:
        TypeError: if `checkpoint` is neither a path nor a mapping.
        ValueError: for a file that cannot be read, names that are not text, or values that are
            not tensors.
        MissingPackageError: for a path, if torch is not installed.
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
    if not all(isinstance(name, str) for name in found):
        raise ValueError(f"The names in a checkpoint must be text. Received: {list(found)[:5]}")
    _check_values(found, checkpoint)
    tensors = {name: _shaped(value) for name, value in found.items()}
    tensors = renamed(tensors, lambda name: name.replace(COMPILED, ""))
    while tensors and all(name.startswith(REPLICA) for name in tensors):
        tensors = renamed(tensors, lambda name: name.removeprefix(REPLICA))
    return tensors


def renamed(tensors: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """Returns tensors under other names.

    Raises:
        ValueError: if two tensors get the same name.
    """
    names = collections.defaultdict(list)
    for name in tensors:
        names[rename(name)].append(name)
    ambiguous = [same for same in names.values() if len(same) > 1]
    if ambiguous:
        raise ValueError(
            "The checkpoint contains the network twice, under names that differ in a prefix only. "
            f"Pass a mapping with one of them. Received: names {ambiguous[0]}"
        )
    return {name: tensors[original] for name, (original,) in names.items()}


def _check_values(found, checkpoint):
    """Raises ValueError unless all values are tensors, arrays, or lists of numbers."""
    others = {
        name: type(value).__name__
        for name, value in found.items()
        if value is None or isinstance(value, (Mapping, str, _Unused))
    }
    if others:
        received = checkpoint if isinstance(checkpoint, (str, os.PathLike)) else type(checkpoint)
        raise ValueError(
            "A checkpoint must be a state dict, a mapping of names to tensors, possibly nested in "
            f"one of {', '.join(WRAPPERS)}. Pass the state dict itself, such as "
            "`torch.load(path)['weights']`, or save it with `torch.save(module.state_dict(), "
            f"path)`. Received: checkpoint={str(received)!r} with {dict(list(others.items())[:5])}"
        )


def to_numpy(tensor: Any) -> np.ndarray:
    """Returns a tensor as a float32 array, without a copy if it is one already."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().float().numpy()
    return np.asarray(tensor, "float32")


def _shaped(value):
    return value if hasattr(value, "shape") else np.asarray(value)


def _load(path):
    torch = import_optional(
        "torch",
        "torch",
        f"Reading the PyTorch file {os.fspath(path)!r}",
        "A mapping of names to arrays does not require it.",
    )
    with open(path, "rb"):
        pass  # raises an OSError with the path if the file is missing or unreadable
    try:
        with unpacked(path) as file:
            checkpoint = _load_inert(torch, file)
        if not isinstance(checkpoint, Mapping):
            raise NotACheckpointError(
                f"it contains a {type(checkpoint).__name__}, not a state dict; save "
                "`module.state_dict()`"
            )
    except Exception as error:
        raise ValueError(
            f"Could not read the checkpoint: {_reason(error)}. Received: checkpoint={str(path)!r}"
        ) from error
    return checkpoint


def _load_inert(torch, file):
    """Loads a file; objects other than tensors, numbers and text become `_Unused`.

    Training frameworks store such objects next to the weights, like the `HistoryBuffer` of
    MMEngine. Neither their classes nor their functions are imported or run.
    """
    unused = {}
    while True:
        stand_ins = [(stand_in, name) for name, stand_in in unused.items()]
        try:
            with torch.serialization.safe_globals(stand_ins):
                return torch.load(
                    file,
                    map_location="cpu",
                    weights_only=True,
                    # Unused parts, such as the optimizer's state, are not read.
                    mmap=zipfile.is_zipfile(file),
                )
        except pickle.UnpicklingError as error:
            name = _unsupported(error)
            if name is None or not _is_data(name):
                raise
            full_name = name if "." in name else f"builtins.{name}"
            if full_name in unused:
                raise
            unused[full_name] = type(name, (_Unused,), {})


class _Unused:
    """Stands in for an object of a checkpoint that is not needed."""

    def __new__(cls, *arguments):
        return super().__new__(cls)

    def __init__(self, *arguments):
        pass

    def __setstate__(self, state):
        pass


def _is_data(name):
    package = name.partition(".")[0]
    standard = package in sys.stdlib_module_names or "." not in name
    return not standard or DATA_OF_STANDARD_LIBRARY.fullmatch(name) is not None


def _unsupported(error):
    """Returns the name of the object that torch refuses, without the module `builtins`."""
    found = re.search(
        r"(?i)(?:unsupported global:? (?:GLOBAL )?|can only .* got <class ')([\w.]+)", str(error)
    )
    return found[1].removeprefix("builtins.").removeprefix(f"{__name__}.") if found else None


class NotACheckpointError(Exception):
    """A file that is not a checkpoint; the message describes it."""


def _reason(error):
    if isinstance(error, NotACheckpointError):
        return str(error)
    # torch's message explains how to disable its check, which is bad advice for untrusted files.
    if isinstance(error, pickle.UnpicklingError) and (name := _unsupported(error)):
        return (
            "it contains more than tensors, numbers and text, which can be harmful and was not "
            f"run: {name}. If you trust the file, load it where it was written and save the "
            "weights only: `torch.save({'state_dict': module.state_dict()}, path)`"
        )
    return "it is truncated, damaged, or not a PyTorch checkpoint of a state dict"


@contextlib.contextmanager
def unpacked(path: str | os.PathLike) -> Iterator[Path]:
    """Context manager that yields `path`, or the checkpoint file in the archive `path`.

    PyTorch's new serialization is also a zip archive, independent of the suffix.

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
