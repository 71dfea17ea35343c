"""The files of an export.

An annotation names its image by a path that was valid on another machine. Such a path is never
opened: it only selects one of the files that were found inside the folder. Links that lead out of
the folder are not followed.
"""

import collections
import contextlib
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from training.importing.names import divide, split_in
from training.input.folder import summarize
from training.input.image_paths import IMAGE_SUFFIXES, IMPORTED_SUFFIXES, PHOTO_SUFFIXES
from training.input.text_files import read_text

# Names of encodings that `read_text` does not recognize; this one decodes every Western text.
WESTERN = "cp1252"
# Images that must be converted first.
OTHER_SUFFIXES = (*PHOTO_SUFFIXES, ".dcm", ".nii", ".npy", ".exr", ".dng", ".nef", ".cr2")
_JUNK = {"__macosx", "thumbs.db", "desktop.ini"}


class Source:
    """The files inside a folder, found once.

    Args:
        root: Folder of the export, or its only annotation file.

    Attributes:
        root: Path of the folder.
        files: Tuple of strings, the paths of the files relative to the folder, sorted.
        images: Tuple of strings, those of them with the suffix of an image.
        skipped: List of pairs, a path and the reason why it is not used.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is an archive, or contains no file.
    """

    def __init__(self, root: str | os.PathLike):
        path = Path(root)
        if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar") and path.is_file():
            raise ValueError(f"Unpack the archive, and pass its folder. Received: source={path}")
        if not path.exists():
            raise FileNotFoundError(f"The export does not exist. Received: source={path}")
        self.root = (path if path.is_dir() else path.parent).resolve()
        self.skipped: list[tuple[str, str]] = []
        self.files = tuple(sorted(self._walk()))
        if path.is_file():  # other annotation files next to it are not meant
            of_kind = path.suffix.lower()
            self.files = tuple(
                file
                for file in self.files
                if Path(file).suffix.lower() != of_kind or file == path.name
            )
        if not self.files:
            raise ValueError(f"The export contains no file. Received: source={path}")
        self.images = self.with_suffix(*IMAGE_SUFFIXES, *IMPORTED_SUFFIXES)
        for file in self.with_suffix(*OTHER_SUFFIXES):
            self.skip(file, "this format is not supported; convert it to PNG or TIFF")
        self._by_stem = collections.defaultdict(list)
        for file in self.images:
            self._by_stem[_folded(PurePosixPath(file).stem)].append(file)
        self._folders = {part for file in self.images for part in _folded(file).split("/")[:-1]}
        self._masks = set(divide(self.images)[1])
        self._parsed: dict[str, Any] = {}

    def _walk(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root):
            here = Path(folder)
            for name in [name for name in folders if (here / name).is_symlink()]:
                self.skip(self._relative(here / name), "links to folders are not followed")
            folders[:] = [name for name in folders if not _is_junk(name)]
            for name in files:
                path = here / name
                if _is_junk(name):
                    continue
                if path.is_symlink() and not path.resolve().is_relative_to(self.root):
                    self.skip(self._relative(path), "the link leads out of the folder")
                elif path.is_file():
                    yield self._relative(path)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def skip(self, name: str, reason: str) -> None:
        """Records that something is not used, and why."""
        self.skipped.append((name, reason))

    @contextlib.contextmanager
    def skipping(self, name: str) -> Iterator[None]:
        """Context manager that records an error of its body instead of raising it."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.skip(name, str(error))
        except KeyError as error:
            self.skip(name, f"the key {error} is missing")
        except (ArithmeticError, AttributeError, IndexError, RecursionError, TypeError) as error:
            self.skip(name, f"it does not have the structure of the format ({error})")

    def path(self, file: str) -> Path:
        """Returns the path of one of the files."""
        return self.root / file

    def with_suffix(self, *suffixes: str) -> tuple[str, ...]:
        """Returns the files with one of these suffixes, in whatever case."""
        return tuple(f for f in self.files if PurePosixPath(f).suffix.lower() in suffixes)

    def named(self, *names: str) -> tuple[str, ...]:
        """Returns the files with one of these names, in whatever case and folder."""
        return tuple(f for f in self.files if PurePosixPath(f).name.lower() in names)

    def text(self, file: str) -> str:
        """Reads a text file in UTF-8, UTF-16 or, at last, the encoding of Western Windows."""
        return read_text(self.path(file), fallback=WESTERN)

    def json(self, file: str) -> Any:
        """Parses a JSON file; what `sample` has parsed is returned once."""
        if file in self._parsed:
            return self._parsed.pop(file)
        try:
            return json.loads(self.text(file))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the file is not valid JSON ({error})") from error

    def sample(self, limit: int = 20) -> dict[str, Any]:
        """Returns the contents of the first JSON files, by which a format is recognized."""
        for file in self.with_suffix(".json")[:limit]:
            if file not in self._parsed:
                with contextlib.suppress(ValueError, OSError):
                    self._parsed[file] = self.json(file)
        return dict(self._parsed)

    def find_image(self, name: str, near: str = "") -> str:
        """Finds the image that an annotation names.

        The file whose path agrees in the most components is chosen, from the last one on; suffixes
        may differ, and images are preferred to masks. Backslashes, letter case, and the form of
        accented letters do not matter.

        Args:
            name: Path as the annotation states it, relative or absolute, of whatever system.
            near: The annotation file. It decides between images of equal names.

        Raises:
            ValueError: If there is no such image, or if it is not clear which one is meant.
        """
        wanted = [part for part in _folded(name).replace("\\", "/").split("/") if part not in _DOTS]
        if not wanted or "\0" in name:
            raise ValueError(f"the annotation does not name its image: {name!r}")
        same_stem = self._by_stem[PurePosixPath(wanted[-1]).stem] or self._by_stem[wanted[-1]]
        if not same_stem:
            raise ValueError(f"there is no image {name!r} in the export")
        folder = _folded(near).split("/")[:-1]

        def agreement(file):
            parts = _folded(file).split("/")
            return (
                file not in self._masks,
                parts[-1] == wanted[-1],
                _common(parts[:-1][::-1], wanted[:-1][::-1]),
                parts[:-1] == folder + wanted[:-1],
                near != "" and split_in(file) == split_in(near, file_name=True),
                parts[:-1] == wanted[:-1],
                _common(parts[:-1], folder),
            )

        ranked = sorted(same_stem, key=agreement, reverse=True)
        elsewhere = set(wanted[-2:-1]) & self._folders - set(_folded(ranked[0]).split("/"))
        if elsewhere:
            raise ValueError(f"there is no image {name!r} in the export, only {ranked[0]!r}")
        if len(ranked) > 1 and agreement(ranked[0]) == agreement(ranked[1]):
            raise ValueError(f"{name!r} may be any of these images: {summarize(sorted(ranked))}")
        return ranked[0]


_DOTS = ("", ".", "..")


def _is_junk(name):
    return name.startswith(".") or name.lower() in _JUNK


def _folded(name):
    """Returns a name without differences of letter case and of the form of accented letters."""
    return unicodedata.normalize("NFC", str(name)).casefold()


def _common(first, second):
    """Returns the number of equal elements at the start."""
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
