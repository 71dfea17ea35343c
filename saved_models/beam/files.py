"""Files on any file system of Beam: patterns, names of outputs, and atomic writes."""

import contextlib
import dataclasses
import glob
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from training.input.image_paths import ALL_SUFFIXES

TEMPORARY = ".tmp-"
# Bytes of one part of a name. File systems allow 255, of which suffixes need some.
LONGEST = 200


@dataclasses.dataclass(frozen=True)
class Images:
    """The images that a pattern matches.

    Attributes:
        pattern: in Beam's syntax: `*` does not match "/", `**` does.
        root: the folder, with "/" at its end, to which the names of outputs are relative.
        excluded: starts of paths that are no images: the outputs.
        is_folder: whether the pattern matches all files of a folder, so that those without the
            suffix of an image and hidden ones are left out.
    """

    pattern: str
    root: str
    excluded: tuple[str, ...]
    is_folder: bool = False

    def contain(self, path: str) -> bool:
        """Returns whether a file that matches the pattern is an image to predict."""
        if path.startswith(self.excluded):
            return False
        is_hidden = "/." in path[len(self.root) - 1 :]
        return not self.is_folder or (path.lower().endswith(ALL_SUFFIXES) and not is_hidden)


def find_images(pattern: str, excluded: tuple[str, ...] = ()) -> Images:
    """Returns the images of a pattern, of a file, or of a folder, which is searched by suffix.

    Args:
        pattern: a path on any file system of Beam.
        excluded: starts of paths that are no images.

    Raises:
        FileNotFoundError: if no file matches.
        ValueError: if Beam has no file system for the path.
    """
    path = full_path(pattern)
    if path.endswith("/") or (is_local(path) and os.path.isdir(path)):
        root = folder_path(path)
        images = Images(all_within(root), root, excluded, is_folder=True)
    else:
        fixed = re.split(r"[*?[]", path)[0]
        images = Images(path, fixed[: fixed.rfind("/") + 1], excluded)
    if not paths_of(images.pattern, limit=1):
        raise FileNotFoundError(
            "No file matches. In a pattern, `*` stands for any part of a name, and `**` for any "
            f"path. Received: images={pattern!r}"
        )
    return images


def is_local(path: str) -> bool:
    """Returns whether a path is one of this machine's file system."""
    return FileSystems.get_scheme(path) is None


def full_path(path: str) -> str:
    """Returns a path that does not depend on the working directory."""
    if not is_local(path):
        return path
    return os.path.abspath(path) + "/" * path.endswith("/")


def folder_path(path: str) -> str:
    """Returns the full path of a folder, with one "/" at its end."""
    return full_path(path).rstrip("/") + "/"


def all_within(folder: str) -> str:
    """Returns the pattern of all files in a folder and its subfolders."""
    return glob.escape(folder_path(folder)) + "**"


def paths_of(pattern: str, limit: int | None = None) -> list[str]:
    """Returns the paths that match a pattern, sorted.

    Raises:
        OSError: if the files cannot be listed.
    """
    try:
        [result] = FileSystems.match([pattern], limits=[limit])
    except BeamIOError as error:
        raise OSError(f"The files cannot be listed: {error}. Received: {pattern!r}") from error
    return sorted(metadata.path for metadata in result.metadata_list)


def output_name(path: str, root: str) -> str:
    """Returns the name that outputs of an image have in common: its path in the root folder.

    Two images never have the same name, and the name of an image never changes. Names of objects
    may be longer than those of files, and contain `..`.
    """
    return "/".join(_safe(part) for part in path[len(root) :].split("/"))


def _safe(part):
    encoded = part.encode()
    if part.strip(".") and len(encoded) <= LONGEST:
        return part
    start = encoded[: LONGEST - 40].decode(errors="ignore").strip(".")
    return f"{start}-{hashlib.sha256(encoded).hexdigest()[:32]}"


def read(path: str, most: int = -1) -> bytes:
    """Returns the content of a file, or its first `most` bytes."""
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return file.read(most) if most >= 0 else file.read()


@contextlib.contextmanager
def atomic_file(path: str) -> Iterator[BinaryIO]:
    """Context manager that yields a file which gets its name when the body has succeeded."""
    folder, _ = FileSystems.split(path)
    temporary = FileSystems.join(folder, TEMPORARY + uuid.uuid4().hex)
    try:
        with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield file
        FileSystems.rename([temporary], [path])
    except BaseException:
        with contextlib.suppress(Exception):
            FileSystems.delete([temporary])
        raise


def write(path: str, content: bytes) -> None:
    """Writes a file atomically."""
    with atomic_file(path) as file:
        file.write(content)


def copy_folder(source: str, target: str) -> None:
    """Copies a folder on any file system to a local one."""
    for path in paths_of(all_within(source)):
        destination = os.path.join(target, path[len(folder_path(source)) :])
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        with open(destination, "wb") as file:
            file.write(read(path))
