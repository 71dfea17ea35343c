"""The folder data set: images and masks are files; splits and classes are lists.

    images/<stem>.jpg        or .jpeg, .jfif, .png, .bmp, .gif, .npy
    labels/<stem>.png        one channel or a palette; each pixel is a class id or an ignored label
    train.txt, val.txt, ...  the stems of a split, one per line
    classes.txt              class names, one per line; the first has id 0

A stem may contain folders: `city/0001` means `images/city/0001.jpg` and `labels/city/0001.png`.
Lists may also state the suffix of the image, as in `city/0001.jpg`, and the folder, as in
`images/city/0001`. Text files are in UTF-8 or UTF-16. Accented letters may be composed or
decomposed.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from training.input.image_paths import DATA_SUFFIXES
from training.input.pixels import AS_RGB, Pixels
from training.input.split_lists import (
    MASK_SUFFIXES,
    existing_stems,
    files_by_stem,
    of_other_formats,
    parse_part,
    read_lines,
    select,
    split_names,
)
from training.input.words import IMAGE_WORDS, MASK_WORDS, words

# The ignored label in the masks of the data sets that `training.datasets` writes.
IGNORED = 255


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one split. All of its files exist.

    Attributes:
        root: Path of the data set.
        name: String, such as `"train"` or `"train+val"`.
        stems: Tuple of strings, the names of the images, in the order of the lists.
        image_paths: Tuple of paths, one per stem.
        mask_paths: Tuple of paths, one per stem.
        class_names: Tuple of strings. The index of a name is the id of its class.
        label_map: Tuple of pairs, a label in the masks and the one that replaces it.
        pixels: How images are decoded, as RGB by default.
    """

    root: Path
    name: str
    stems: tuple[str, ...]
    image_paths: tuple[Path, ...]
    mask_paths: tuple[Path, ...]
    class_names: tuple[str, ...]
    label_map: tuple[tuple[int, int], ...] = ()
    pixels: Pixels = AS_RGB

    def __len__(self) -> int:
        return len(self.stems)

    def without(self, stems: Iterable[str]) -> Split:
        """Returns the split without some of its images.

        Args:
            stems: Strings, the images to leave out.

        Raises:
            ValueError: If the split lacks one of the stems, or if no image would be left.
        """
        dropped = set(stems)
        unknown = sorted(dropped - set(self.stems))
        if unknown:
            raise ValueError(
                f"`stems` must be images of the split {self.name!r}. "
                f"Received: stems={summarize(unknown)}"
            )
        kept = [
            row
            for row in zip(self.stems, self.image_paths, self.mask_paths, strict=True)
            if row[0] not in dropped
        ]
        if not kept:
            raise ValueError(
                f"No image of the split {self.name!r} would be left. "
                f"Received: stems={summarize(stems)}"
            )
        stems, image_paths, mask_paths = zip(*kept, strict=True)
        return dataclasses.replace(
            self, stems=stems, image_paths=image_paths, mask_paths=mask_paths
        )


def read_split(root: str | os.PathLike, split: str, map_labels: Sequence[str] = ()) -> Split:
    """Reads the lists of a folder data set and finds the files of one split.

    Args:
        root: Path of the data set.
        split: String, the name of a list without its `.txt`, or several joined by a plus:
            `"train+val"`. A name may be that of a part, see `part`.
        map_labels: Strings, labels in the masks and those that replace them, such as `"255:1"`.

    Returns:
        A `Split`.

    Raises:
        FileNotFoundError: If the folder, one of its lists, an image or a mask is missing.
        ValueError: If a list is empty or repeats a name, if there are fewer than two classes, if
            two images have the same stem, or for a part of a list of one image.
    """
    root = Path(root)
    class_names = read_classes(root)
    _check_folders(root)
    stems = [stem for name in split.split("+") for stem in _stems(root, name, split)]
    if repeated := _repeated(stems):
        raise ValueError(
            "A split may contain an image only once. Remove the repetitions of "
            f"{summarize(repeated)}. Received: split={split!r}"
        )
    return Split(
        root=root,
        name=split,
        stems=tuple(stems),
        image_paths=_find(root / "images", stems, DATA_SUFFIXES, split),
        mask_paths=_find(root / "labels", stems, MASK_SUFFIXES, split),
        class_names=class_names,
        label_map=tuple(map(_label_pair, map_labels)),
    )


def _stems(root, name, split):
    """Returns the stems of a list, or of a part of it."""
    whole, share = parse_part(name)
    path = root / f"{whole}.txt"
    if whole in ("", "classes") or not path.is_file():
        names = split_names(root)
        has_no_val = whole == "val" and "train" in names
        remedy = "use a part of the training images with `--val-share 0.2`, " if has_no_val else ""
        raise FileNotFoundError(
            f"The data set {root} has no split {name!r}. Write the stems of its images to "
            f"`{name}.txt`, one per line, {remedy}or choose one of these splits: "
            f"{summarize(names) or 'none'}. Received: split={split!r}"
        )
    lines = [line for line in read_lines(path) if line]
    if not lines:
        raise ValueError(
            f"{path} is empty. Write the stems of the split to it, one per line. "
            f"Received: split={split!r}"
        )
    outside = [line for line in lines if {"", ".."} & set(line.replace("\\", "/").split("/"))]
    if outside:
        raise ValueError(
            f"A stem must be the path of an image inside the folder `images`. Correct {path}. "
            f"Received: {summarize(outside)}"
        )
    stems = existing_stems(root / "images", lines)
    if share is None:
        return stems
    if len(stems) < 2:
        raise ValueError(
            f"{path} names one image only, of which no part can be held out for validation. Add "
            f"images, or write those to validate on to `val.txt`. Received: split={split!r}"
        )
    return select(stems, share)


def read_classes(root: str | os.PathLike) -> tuple[str, ...]:
    """Reads the class names of a folder data set."""
    root = Path(root)
    if not root.is_dir():
        wrong = "is not a folder" if root.exists() else "does not exist"
        raise FileNotFoundError(f"The data folder {wrong}. Received: root={str(root)!r}")
    path = root / "classes.txt"
    if not path.is_file():
        above = root.resolve().parent
        hint = f"{above} has one: pass this folder. " if (above / "classes.txt").is_file() else ""
        raise FileNotFoundError(
            "A folder data set needs a `classes.txt` with the names of its classes, one per line; "
            f"the first has id 0. {hint}`python -m training.import_data` writes it for exports of "
            f"annotation tools. Received: root={str(root)!r}"
        )
    names = _without_ids(path, read_lines(path))
    # An empty line between two names cannot be skipped: that would shift the ids of the names
    # after it.
    if len(names) < 2 or not all(names) or _repeated(names):
        raise ValueError(
            f"{path} must contain at least two names, one per line, without empty lines or "
            f"repetitions. Received: names={names}"
        )
    return tuple(names)


def _without_ids(path, names):
    """Returns class names without ids in front of them, which must count from 0."""
    matches = [re.fullmatch(r"(\d+)\s*[\s:,;.=]\s*(\S.*)", name) for name in names]
    ids = [int(match[1]) for match in matches if match]
    if not names or len(ids) < len(names) or sorted(ids) not in _countings(len(ids)):
        return names
    if ids != list(range(len(ids))):
        raise ValueError(
            f"{path} has ids in front of the names, but the id of a class is the number of its "
            "line, from 0. Put the names in the order of their ids, without the ids; if the ids in "
            "the masks start from 1, `python -m training.import_data` shifts them. "
            f"Received: names={summarize(names)}"
        )
    return [match[2] for match in matches if match]


def _countings(count):
    return list(range(count)), list(range(1, count + 1))


def overlap_problem(
    train: Split, val: Split, remedy: str = "Remove them from one of the lists."
) -> str:
    """Describes the validation images that are training images as well; "" if there are none.

    A training split may contain a validation split by name, as `train+val` contains `val`.
    """
    shared = sorted(set(train.stems) & set(val.stems))
    if not shared or set(train.name.split("+")) & set(val.name.split("+")):
        return ""
    return (
        f"{len(shared)} of the {len(val)} images of the split {val.name!r} are in {train.name!r} "
        "as well, so scores on them do not show how a model performs on other images. "
        f"{remedy} Received: stems={summarize(shared)}"
    )


def summarize(names: Iterable[str], limit: int = 10) -> str:
    """Joins names for an error message: the first ten, then the number of others."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _label_pair(text):
    label, separator, replacement = text.partition(":")
    if not (separator and label.isdecimal() and replacement.isdecimal()):
        raise ValueError(
            "`map_labels` must hold a label, a colon, and the label that replaces it, such as "
            f"`255:1`. Received: map_labels={text!r}"
        )
    return int(label), int(replacement)


def _repeated(names):
    return [name for name, count in collections.Counter(names).items() if count > 1]


def _check_folders(root):
    """Raises FileNotFoundError if a folder is missing; names one that may be meant."""
    for name, kind in (("images", IMAGE_WORDS), ("labels", MASK_WORDS)):
        if not (root / name).is_dir():
            folders = (path.name for path in root.iterdir() if path.is_dir())
            others = sorted(folder for folder in folders if set(words(folder)) & kind)
            found = f"but {summarize(map(repr, others))}" if others else "which it needs"
            raise FileNotFoundError(
                f"The data set {root} has no folder `{name}`, {found}. Rename the folder, or "
                f"import the data set with `python -m training.import_data {root} OUTPUT`. "
                f"Received: root={str(root)!r}"
            )


def _find(folder, stems, suffixes, split):
    """Finds the one file of each stem."""
    found = files_by_stem(folder, stems, suffixes)
    missing = [stem for stem in stems if stem not in found]
    if missing:
        remedy = "Add the files, or remove the stems from the list of the split."
        if others := of_other_formats(folder, missing):
            remedy = (
                f"There are files of other formats: {summarize(others)}. Convert them to PNG; "
                "`python -m training.import_data` converts data sets with TIFF and WebP images, or "
                "with masks of other formats."
            )
        elif len(missing) == len(stems):
            remedy += (
                " `python -m training.import_data` pairs images and masks whose names differ, such "
                "as `a.jpg` and `a_mask.png`."
            )
        raise FileNotFoundError(
            f"No file `{folder.name}/<stem>` with the suffix {' or '.join(suffixes)} for "
            f"{len(missing)} of {len(stems)} stems: {summarize(missing)}. {remedy} "
            f"Received: split={split!r} of {folder.parent}"
        )
    ambiguous = [stem for stem in stems if len(found[stem]) > 1]
    if ambiguous:
        raise ValueError(
            f"Several files in `{folder.name}` have the same stem; keep one of each: "
            f"{summarize(ambiguous)}. Received: split={split!r} of {folder.parent}"
        )
    return tuple(found[stem][0] for stem in stems)
