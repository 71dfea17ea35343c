"""What the names of files and folders say: the split, image or mask, and the name of the image."""

import collections
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from training.input.words import IMAGE_WORDS, MASK_WORDS, OTHER_WORDS, SPLITS, words

_KINDS = IMAGE_WORDS | MASK_WORDS
_PICTURE_WORDS = {"color", "colors", "colored", "overlay"}


def normalized(name: str) -> str:
    """Returns a name with composed letters and single spaces; equal-looking names become equal."""
    return " ".join(unicodedata.normalize("NFC", str(name)).split())


def split_in(path: str, file_name: bool = False) -> str | None:
    """Returns the split that the folders of a path name, the last one if there are several.

    Args:
        path: String.
        file_name: Whether the name of the file counts as well, as that of a list does. The name
            of an image does not: it may show a train.

    >>> split_in("images/valid/train_0001.jpg")
    'val'
    >>> split_in("annotations/instances_val2017.json", file_name=True)
    'val'
    """
    parts = PurePosixPath(path).with_suffix("").parts
    text = " ".join(parts if file_name else parts[:-1])
    found = [SPLITS[word] for word in words(text) if word in SPLITS]
    return found[-1] if found else None


def divide(paths: Iterable[str]) -> tuple[list[str], list[str]]:
    """Divides image files into images and masks of classes, by their names.

    The deepest folder that names a kind decides. If no folder is one of masks, the first or last
    word of the file name decides. Masks of instances and pictures of masks are in neither list,
    unless there are no other masks.

    >>> divide(["masks/a.png", "images/a.jpg", "images/label.jpg"])
    (['images/a.jpg', 'images/label.jpg'], ['masks/a.png'])
    >>> divide(["a.jpg", "a_mask.png"])
    (['a.jpg'], ['a_mask.png'])
    """
    paths = list(paths)
    plain = [path for path in paths if not _is_other(path)]
    masks = _masks(plain) or _masks(paths)
    found = set(masks)
    return [path for path in plain if path not in found], masks


def _masks(paths):
    in_folders = [path for path in paths if _kind_of_folder(path) == "mask"]
    return in_folders or [path for path in paths if _is_named_mask(path)]


def _kind_of_folder(path):
    for folder in reversed(PurePosixPath(path).parts[:-1]):
        found = set(words(folder))
        if found & _KINDS:
            return "mask" if found & MASK_WORDS else "image"
    return None


def _is_named_mask(path):
    found = words(PurePosixPath(path).stem)
    return bool({*found[:1], *found[-1:]} & MASK_WORDS)


def _is_other(path):
    found = words(PurePosixPath(path).with_suffix("").as_posix())
    is_picture = bool(set(found) & MASK_WORDS) and found[-1] in _PICTURE_WORDS
    return bool(set(found) & OTHER_WORDS) or is_picture


def pair(images: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """Pairs images with the files that annotate them, by their names.

    Folders and words such as "images" and "mask" do not count. Strict agreement is tried first:
    of whole paths, then of the words in them, of the words in the file names, and of these
    without the words that all names begin or end with, such as "L" for labels.

    Args:
        images: Paths.
        others: Paths of masks or annotations.

    Returns:
        Dict from images to others. Files without a counterpart, or with several, are missing.
    """
    pairs: dict[str, str] = {}
    image_folders, other_folders = _distinctive_folders(images), _distinctive_folders(others)
    for keys in (_paths_as_they_are, _path_keys, _words_keys, _stem_keys, _distinct_keys):
        first, second = (
            _grouped([path for path in paths if path not in used], keys)
            for paths, used in ((images, set(pairs)), (others, set(pairs.values())))
        )
        for name in first.keys() & second.keys():
            if name and len(first[name]) == len(second[name]) == 1:
                (image,), (other,) = first[name], second[name]
                one, two = image_folders[image], other_folders[other]
                if one <= two or two <= one:  # the folders of one may only be nested more deeply
                    pairs[image] = other
    return {image: pairs[image] for image in images if image in pairs}


def _distinctive_folders(paths):
    """Returns the words in the folders of each path, without those in which all are."""
    found = {path: set(_own_words(f"{PurePosixPath(path).parent.as_posix()}/_")) for path in paths}
    shared = set.intersection(*found.values()) - SPLITS.keys() if found else set()
    return {path: folders - shared for path, folders in found.items()}


def _grouped(paths, keys):
    groups = collections.defaultdict(list)
    for path, key in zip(paths, keys(paths), strict=True):
        groups[key].append(path)
    return groups


def _paths_as_they_are(paths):
    for path in paths:
        parts = PurePosixPath(normalized(path)).with_suffix("").parts
        yield "/".join(part for part in parts if part.casefold() not in _KINDS)


def _path_keys(paths):
    return [key.casefold() for key in _paths_as_they_are(paths)]


def _words_keys(paths):
    return [" ".join(_own_words(path)) for path in paths]


def _stem_keys(paths):
    return _words_keys(PurePosixPath(path).name for path in paths)


def _distinct_keys(paths):
    """Returns the words in the file names without those that all of them begin or end with."""
    found = [_own_words(PurePosixPath(path).name) for path in paths]
    for _ in ("begin", "end"):
        while len(found) > 1 and all(found) and len({words[0] for words in found}) == 1:
            found = [words[1:] for words in found]
        found = [words[::-1] for words in found]
    return [" ".join(words) for words in found]


def _own_words(path):
    """Returns the words of a path that do not name a kind of file."""
    without_suffix = PurePosixPath(path).with_suffix("").as_posix()
    return [word for word in words(without_suffix) if word not in _KINDS]


def stems(paths: Iterable[str]) -> list[str]:
    """Returns a stem for each image: its path without the folders that all share or name a kind.

    >>> stems(["data/images/a/1.jpg", "data/images/b/1.jpg"])
    ['a/1', 'b/1']
    >>> stems(["JPEGImages/a.jpg", "JPEGImages/a.png"])
    ['a_jpg', 'a_png']
    """
    parts = [[normalized(part) for part in PurePosixPath(path).parts] for path in paths]
    while parts and all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    kept = [
        [f for f in p[:-1] if f.casefold() not in IMAGE_WORDS] + [PurePosixPath(p[-1]).stem]
        for p in parts
    ]
    found = ["/".join(p) for p in kept]
    repeated = {stem for stem, n in collections.Counter(found).items() if n > 1}
    if repeated:
        found = [
            f"{stem}_{PurePosixPath(p[-1]).suffix[1:].lower()}" if stem in repeated else stem
            for stem, p in zip(found, parts, strict=True)
        ]
    if len(set(found)) < len(found):  # images of one name in folders that name a kind
        found = ["/".join([*p[:-1], PurePosixPath(p[-1]).stem]) for p in parts]
    if len(set(found)) < len(found):
        found = [f"{stem}_{i}" for i, stem in enumerate(found)]
    return found
