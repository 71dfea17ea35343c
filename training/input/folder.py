"""The folder data set: images and masks are files, splits and classes are lists.

    images/<stem>.jpg        or .jpeg, .png, .bmp
    labels/<stem>.png        one channel or a palette; a pixel is the id of its class, or void
    train.txt, val.txt, ...  the stems of a split, one a line
    classes.txt              the names of the classes, one a line: the first has id 0

A stem may contain folders: `city/0001` means `images/city/0001.jpg` and `labels/city/0001.png`.
"""

import collections
import dataclasses
import os
from pathlib import Path

import numpy as np
from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
MASK_SUFFIXES = (".png",)

# The start of a PNG, and what its byte 25 says about the meaning of a pixel.
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLORS = {0: "gray", 2: "RGB", 3: "palette", 4: "gray and alpha", 6: "RGBA"}


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one split, every file of which exists.

    Attributes:
        root: Path of the data set.
        name: String, such as `"train"` or `"train+val"`.
        stems: Tuple of strings, the names of the images, in the order of the lists.
        image_paths: Tuple of paths, one a stem.
        mask_paths: Tuple of paths, one a stem.
        class_names: Tuple of strings. The index of a name is the id of its class.
    """

    root: Path
    name: str
    stems: tuple
    image_paths: tuple
    mask_paths: tuple
    class_names: tuple

    def __len__(self):
        return len(self.stems)

    def without(self, stems):
        """Returns the split less some of its images.

        Args:
            stems: Strings, the images to leave out.

        Returns:
            A `Split`.

        Raises:
            ValueError: If the split lacks one of the stems, or if no image would be left.
        """
        dropped = set(stems)
        unknown = sorted(dropped - set(self.stems))
        if unknown:
            raise ValueError(
                f"The split {self.name!r} has no such images to leave out. "
                f"Received: stems={listed(unknown)}"
            )
        kept = [
            row
            for row in zip(self.stems, self.image_paths, self.mask_paths, strict=True)
            if row[0] not in dropped
        ]
        if not kept:
            raise ValueError(
                f"No image of the split {self.name!r} would be left. "
                f"Received: stems={listed(stems)}"
            )
        stems, image_paths, mask_paths = zip(*kept, strict=True)
        return dataclasses.replace(
            self, stems=stems, image_paths=image_paths, mask_paths=mask_paths
        )


def read_split(root, split):
    """Reads the lists of a folder data set and finds the files of one split.

    Args:
        root: Path of the data set.
        split: String, the name of a list without its `.txt`, or several joined by a plus:
            `"train+val"`.

    Returns:
        A `Split`.

    Raises:
        FileNotFoundError: If the folder, one of its lists, an image or a mask is missing.
        ValueError: If a list is empty or names something twice, if there are fewer than two
            classes, or if two images have one stem.
    """
    root = Path(root)
    class_names = read_classes(root)
    stems = []
    for name in split.split("+"):
        if name not in split_names(root):
            raise FileNotFoundError(
                f"The data set {root} has no split {name!r}. A split is a list of stems, one a "
                f"line, in `{name}.txt`; there are {listed(split_names(root)) or 'none'}. "
                f"Received: split={split!r}"
            )
        found = [line for line in _lines(root / f"{name}.txt") if line]
        if not found:
            raise ValueError(
                f"{root / name}.txt is empty. Write the stems of the split in it, one a line. "
                f"Received: split={split!r}"
            )
        stems += found
    if repeated := _repeated(stems):
        raise ValueError(
            "An image may be in a split once only. Remove the repetitions of "
            f"{listed(repeated)}. Received: split={split!r}"
        )
    return Split(
        root=root,
        name=split,
        stems=tuple(stems),
        image_paths=_find(root / "images", stems, IMAGE_SUFFIXES, split),
        mask_paths=_find(root / "labels", stems, MASK_SUFFIXES, split),
        class_names=class_names,
    )


def read_classes(root):
    """Reads the names of the classes of a folder data set, a tuple of strings."""
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no such folder. Received: root={str(root)!r}")
    path = root / "classes.txt"
    if not path.is_file():
        raise FileNotFoundError(
            "A folder data set needs a `classes.txt`: the names of its classes, one a line, the "
            f"first with id 0. Received: root={str(root)!r}"
        )
    names = _lines(path)
    # An empty line between two names would be a class without a name, not a line to skip:
    # skipping it would shift the ids of all that follow.
    if len(names) < 2 or not all(names) or _repeated(names):
        raise ValueError(
            f"{path} must have two names or more, one a line, none of them empty or twice. "
            f"Received: names={names}"
        )
    return tuple(names)


def split_names(root):
    """Returns the names of the splits that a folder data set has, a sorted list."""
    return sorted(path.stem for path in Path(root).glob("*.txt") if path.stem != "classes")


def read_mask(path):
    """Reads the class ids of a mask.

    The ids are the numbers that the file stores: indices, if it has a palette, and not colors.
    `training.input.image_files.decode_mask` does the same within `tf.data`.

    Args:
        path: Path, string or bytes, of a PNG of one channel, of 1 to 16 bits, or of a palette.

    Returns:
        `int32` array of shape `(height, width)`.

    Raises:
        OSError: If the file can't be read to its end.
        ValueError: If it isn't a PNG, or has several channels.
    """
    path = os.fsdecode(path)
    with open(path, "rb") as file:
        header = file.read(26)
        if len(header) < 26 or not header.startswith(_PNG_SIGNATURE):
            raise ValueError(f"A mask must be a PNG file. Received: path={path!r}")
        depth, color = header[24], _PNG_COLORS.get(header[25], "unknown")
        if color not in ("gray", "palette"):
            raise ValueError(
                "A mask must have one channel, the class id of each pixel, or a palette. "
                f"Received: path={path!r} with pixels of {color}"
            )
        ids = np.asarray(Image.open(file, formats=["PNG"]), "int32")
    if color == "gray" and depth in (2, 4):
        ids = ids // (255 // (2**depth - 1))  # Pillow makes such grays shades from 0 to 255
    return ids


def listed(names, most=10):
    """Joins names for an error message: the first ten, then how many there are more."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _lines(path):
    # Editors on Windows may begin a file with a byte order mark, which `utf-8-sig` drops.
    text = path.read_text(encoding="utf-8-sig").rstrip()
    return [line.strip() for line in text.splitlines()]


def _repeated(names):
    return [name for name, count in collections.Counter(names).items() if count > 1]


def _find(folder, stems, suffixes, split):
    """Finds the one file of each stem, listing each folder once however many stems there are."""
    found = collections.defaultdict(list)
    for parent in {(folder / stem).parent for stem in stems}:
        for path in parent.iterdir() if parent.is_dir() else ():
            if path.suffix.lower() in suffixes:
                found[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    missing = [stem for stem in stems if stem not in found]
    if missing:
        raise FileNotFoundError(
            f"No file `{folder.name}/<stem>` with the suffix {' or '.join(suffixes)} for "
            f"{len(missing)} of {len(stems)} stems: {listed(missing)}. Add the files, or remove "
            f"the stems from the list of the split. Received: split={split!r} of {folder.parent}"
        )
    several = [stem for stem in stems if len(found[stem]) > 1]
    if several:
        raise ValueError(
            f"Several files in `{folder.name}` have one stem; keep one of each: {listed(several)}. "
            f"Received: split={split!r} of {folder.parent}"
        )
    return tuple(found[stem][0] for stem in stems)
