"""The lists of a folder data set: how lines name images, and which text files are lists."""

import collections
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from training.input.image_paths import ALL_SUFFIXES, DATA_SUFFIXES, images_in
from training.input.text_files import read_text
from training.input.words import SPLITS

MASK_SUFFIXES = (".png",)
ANY = ALL_SUFFIXES + DATA_SUFFIXES
# Lines of a text file by which a list of images is recognized.
_EXAMINED = 100


def split_names(root: str | os.PathLike) -> list[str]:
    """Returns the names of the splits of a folder data set, sorted.

    A text file is the list of a split if it has the name of one, such as `train`, `val` or `test`,
    or if it names an image.
    """
    root = Path(root)
    lists = [path for path in root.glob("*.txt") if path.stem != "classes"]
    return sorted(path.stem for path in lists if _is_list(root, path))


def _is_list(root, path):
    if path.stem.casefold() in {*SPLITS, "trainval"}:
        return True
    try:
        lines = read_lines(path)[:_EXAMINED]
    except ValueError:
        return False
    found = files_by_stem(root / "images", lines)
    return any(stem in found for line in lines for stem in _spellings(line))


def read_lines(path: str | os.PathLike) -> list[str]:
    """Returns the lines of a text file without the empty ones at its end.

    Raises:
        ValueError: If the file is neither in UTF-8 nor in UTF-16.
    """
    return [line.strip() for line in read_text(path).rstrip().splitlines()]


def part(split: str, share: float) -> str:
    """Returns the name of a random part of a split.

    The hash of its stem decides whether an image belongs to the part, so that images that are
    added later move no other image from one part to the other.

    Args:
        split: String, the name of a split.
        share: Float between 0 and 1, the share of the images. Of the rest, if it is negative.

    >>> part("train+extra", 0.2), part("train", -0.2)
    ('train[20%]+extra[20%]', 'train[-20%]')
    """
    return "+".join(f"{name}[{100 * share:.6g}%]" for name in split.split("+"))


def held_out(train: str, val: str, share: float | None) -> tuple[str, str]:
    """Returns the names of training and validation split if a share of the first is held out.

    >>> held_out("train", "val", 0.2)
    ('train[-20%]', 'train[20%]')
    """
    return (train, val) if share is None else (part(train, -share), part(train, share))


def parse_part(name: str) -> tuple[str, float | None]:
    """Returns the name of a list, and the share that `part` has added to it, or None.

    >>> parse_part("train[-20%]"), parse_part("val")
    (('train', -0.2), ('val', None))
    """
    match = re.fullmatch(r"(.+)\[(-?\d+(?:\.\d+)?)%\]", name)
    return (match[1], float(match[2]) / 100) if match else (name, None)


def select(stems: Sequence[str], share: float) -> list[str]:
    """Returns the stems of a random part of two or more: at least one, and not all."""
    ranked = sorted((hash_of(stem), stem) for stem in stems)
    count = sum(rank < abs(share) for rank, _ in ranked)
    chosen = {stem for _, stem in ranked[: max(1, min(count, len(ranked) - 1))]}
    return [stem for stem in stems if (stem in chosen) == (share > 0)]


def hash_of(stem: str) -> float:
    """Returns a number in 0 to 1 that only depends on the stem."""
    digest = hashlib.blake2b(stem.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def files_by_stem(
    folder: Path, stems: Iterable[str], suffixes: Sequence[str] | None = DATA_SUFFIXES
) -> dict[str, list[Path]]:
    """Returns the files in the folders of these stems, by stem; lists each folder only once.

    Args:
        folder: Path of the images or masks.
        stems: Strings, as in a list.
        suffixes: Suffixes of the files; None for any.

    Returns:
        Dict from stems, whose accented letters are composed, to paths.
    """
    found = collections.defaultdict(list)
    for parent in {(folder / spelling).parent for stem in stems for spelling in _spellings(stem)}:
        for path in parent.iterdir() if parent.is_dir() else ():
            if suffixes is None or path.suffix.lower() in suffixes:
                stem = path.relative_to(folder).with_suffix("").as_posix()
                found[unicodedata.normalize("NFC", stem)].append(path)
    return found


def _spellings(line):
    """Returns the stems that a line of a list may mean: as it is, or without suffix and folder."""
    path = unicodedata.normalize("NFC", line).replace("\\", "/").removeprefix("./")
    stem, suffix = os.path.splitext(path)
    spellings = [path, stem] if suffix.lower() in ANY else [path]
    return [*spellings, *(s.removeprefix("images/") for s in spellings if s.startswith("images/"))]


def existing_stems(folder: Path, lines: Sequence[str]) -> list[str]:
    """Returns the stem of the image that each line means; the line itself if there is none.

    A line may have the suffix of the image, begin with `images/`, and have backslashes.
    """
    found = files_by_stem(folder, lines)
    return [next((s for s in _spellings(line) if s in found), line) for line in lines]


def of_other_formats(folder: Path, stems: Sequence[str]) -> list[str]:
    """Returns the names of the files of these stems, whatever their suffixes are."""
    found = files_by_stem(folder, stems, suffixes=None)
    paths = {path for stem in stems for s in _spellings(stem) for path in found.get(s, ())}
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def unlisted_stems(folder: Path, stems: Iterable[str]) -> list[str]:
    """Returns the stems of the images in a folder that are not among `stems`."""
    found = (
        path.relative_to(folder).with_suffix("").as_posix()
        for path in images_in(folder, suffixes=ANY)
    )
    return sorted({unicodedata.normalize("NFC", stem) for stem in found} - set(stems))
