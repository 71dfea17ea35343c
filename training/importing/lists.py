"""Class names, ids and colors in text files of many tools."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from training.importing.export import Hints
from training.importing.names import normalized
from training.importing.source import WESTERN, Source
from training.input.text_files import read_text
from training.input.words import SPLITS

# Files of class names and colors, in the order of preference.
NAME_LISTS = ("classes.txt", "class_names.txt", "labels.txt", "names.txt", "obj.names")
COLOR_LISTS = (
    "labelmap.txt",
    "class_dict.csv",
    "label_colors.txt",
    "colors.txt",
    "colors.csv",
    "classes.csv",
    "labels.csv",
    "class_dict_seg.csv",
)


@dataclasses.dataclass(frozen=True)
class Color:
    """A line of a color list: class name and color, red, green and blue."""

    name: str
    color: tuple[int, int, int]


def _text(source: Source, hinted: str | None, names: Sequence[str]) -> tuple[str, str]:
    """Returns path and text of a hinted file, or of the first with one of the names, or blanks."""
    if hinted is not None:
        if not Path(hinted).is_file():
            raise FileNotFoundError(f"The list does not exist. Received: path={hinted!r}")
        return hinted, read_text(Path(hinted), fallback=WESTERN)
    for name in names:
        found = sorted(source.named(name), key=lambda file: (file.count("/"), file))
        if found:
            return found[0], source.text(found[0])
    return "", ""


def read_names(source: Source, hints: Hints, files: Sequence[str] = NAME_LISTS) -> list[str]:
    """Returns the class names of a list, one per line, without empty lines; [] without a list."""
    _, text = _text(source, hints.classes, files)
    return [name for line in text.splitlines() if (name := normalized(line))]


def read_labels(source: Source, hints: Hints) -> list[str]:
    """Returns the class names of a list, or of a label map of CVAT that has no colors."""
    path, text = _text(source, hints.classes, (*NAME_LISTS, "labelmap.txt"))
    lines = [line.partition(":")[0] if "labelmap" in path else line for line in text.splitlines()]
    return [name for line in lines if (name := normalized(line)) and not name.startswith("# ")]


def read_ids(source: Source, hints: Hints) -> dict[int, str] | list[str]:
    """Returns class names by id if every line starts with an id, or else in their order.

    Raises:
        ValueError: If an id or a name repeats.
    """
    path, text = _text(source, hints.classes, NAME_LISTS)
    lines = [normalized(line) for line in text.splitlines() if line.strip()]
    matches = [re.fullmatch(r"(\d+)\s*[:;,.=\s]\s*(\S.*)", line) for line in lines]
    names: dict[int, str] | list[str] = lines
    if lines and all(matches):
        names = {int(match[1]): match[2] for match in matches if match}
    values = list(names.values()) if isinstance(names, dict) else names
    if len(names) < len(lines) or len(set(values)) < len(lines):
        raise ValueError(f"A class list may have a name and an id only once. Received: {path}")
    return names


def listed_splits(source: Source, lists: Mapping[str, str] = {}) -> dict[str, str]:
    """Returns the split of each image that a list such as `train.txt` names.

    A line is the path of an image, or several paths, that of the image first.

    Args:
        source: A `Source`.
        lists: Dict from the names of further lists to splits.
    """
    found: dict[str, str] = {}
    for file in source.with_suffix(".txt"):
        split = lists.get(PurePosixPath(file).name) or SPLITS.get(PurePosixPath(file).stem.lower())
        if split is None:
            continue
        for line in source.text(file).splitlines():
            if line.strip():
                with source.skipping(f"{file}: {line.strip()}"):
                    found[_image_of(source, line.strip(), file)] = split
    return found


def _image_of(source, line, file):
    try:
        return source.find_image(line, near=file)
    except ValueError:
        if len(line.split()) == 1:
            raise
        return source.find_image(line.split()[0], near=file)


def read_colors(source: Source, hints: Hints) -> list[Color]:
    """Returns the colors of a list: text, CSV, or the label map of CVAT; [] without a list.

    A line has a name and a color in any order: three numbers in 0 to 255, or `#rrggbb`. Comments
    (`#` and a space), a header, and lines without a color are left out.

    Raises:
        ValueError: If a hinted file lists no color, or if a color has two names.
    """
    path, text = _text(source, hints.colors, COLOR_LISTS)
    found = list(_parsed_colors(text))
    if hints.colors is not None and not found:
        raise ValueError(
            "A color list must have a class name and a color on each line, such as "
            f"`road 128 64 128`, `road,128,64,128` or `road #804080`. Received: colors={path}"
        )
    by_color: dict[tuple[int, int, int], str] = {}
    for entry in found:
        if by_color.setdefault(entry.color, entry.name) != entry.name:
            raise ValueError(
                f"A color may have one class only, but {entry.color} stands for "
                f"{by_color[entry.color]!r} and {entry.name!r}. Received: colors={path}"
            )
    return list(dict.fromkeys(found))


def _parsed_colors(text: str) -> Iterator[Color]:
    for line in text.splitlines():
        if not line.strip() or re.match(r"\s*#(?![0-9a-fA-F]{6}\b)", line):
            continue
        # Quotes hold names with commas together; a label map has `name:r,g,b:parts:actions`.
        row = next(csv.reader([line.replace(":", ",").replace(";", ",").replace("\t", ",")]))
        fields = [part for field in row for part in _parts(field)]
        color = _color(fields)
        if color is not None:
            values, rest = color
            # A leading id, and CVAT's parts and actions, are no names.
            texts = [text for text in map(normalized, rest) if text]
            words = [text for text in texts if not text.isdecimal()]
            if texts:
                yield Color((words or texts)[0], values)


def _parts(field):
    """Splits a field at spaces if it holds numbers or a hexadecimal color besides a name."""
    field = field.strip().strip("[]()")
    numbers = r"(?:\d{1,3}[\s,]+){2}\d{1,3}|#[0-9a-fA-F]{6}"
    match = re.fullmatch(rf"(.*?)\s*(?<!\S)({numbers})(?!\S)\s*(.*)", field)
    if not match:
        return [field]
    return [part for part in (match[1], *re.split(r"[\s,]+", match[2]), match[3]) if part]


def _color(fields):
    """Returns the color among the fields of a line, and the other fields; None without a color."""
    for i, field in enumerate(fields):
        if re.fullmatch(r"#[0-9a-fA-F]{6}", field):
            values = tuple(int(field[j : j + 2], 16) for j in (1, 3, 5))
            return values, fields[:i] + fields[i + 1 :]
    for i in range(len(fields) - 2):
        three = fields[i : i + 3]
        if all(re.fullmatch(r"\d{1,3}", f) and int(f) < 256 for f in three):
            values = tuple(map(int, three))
            return values, fields[:i] + fields[i + 3 :]
    return None
