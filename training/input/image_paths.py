"""Which files are images, and the results of which image a file holds.

All commands follow this rule: training and its check, prediction, and the client of a server.
"""

import collections
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from keras_encnet.export.image_bytes import NO_IMAGE

# Of the formats that training and exported models decode.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif")
# Of data sets and predictions, which read arrays as well, see `training.input.npy`.
DATA_SUFFIXES = (*IMAGE_SUFFIXES, ".npy")
# Of formats that `training.import_data` converts, and of other formats of photos.
IMPORTED_SUFFIXES = (".tif", ".tiff", ".webp")
PHOTO_SUFFIXES = (".avif", ".heic", ".heif")
ALL_SUFFIXES = IMAGE_SUFFIXES + IMPORTED_SUFFIXES + PHOTO_SUFFIXES
REMEDY = (
    "Convert the image to PNG, for example with `mogrify -format png`; "
    "`python -m training.import_data` converts TIFF and WebP in data sets."
)


def explain(status: str) -> str:
    """Adds the remedy to the status of an image if its format is not supported."""
    return f"{status} {REMEDY}" if status == NO_IMAGE else status


def find_images(paths: Iterable[Path], output: Path, arrays: bool = False) -> dict[Path, Path]:
    """Returns the image files in `paths` with the paths of their results.

    Folders are searched for files with the suffix of an image, with the folders in them. Images
    of formats that cannot be decoded are found as well, so that they are reported. Hidden files and
    the folder of the results are left out.

    Args:
        paths: image files, and folders.
        output: folder of the results.
        arrays: whether `.npy` files are images.

    Returns:
        Dict from images to paths in `output`, without a suffix. Images in a folder keep their path
        in that folder.

    Raises:
        FileNotFoundError: if a path does not exist and does not end like an image, or if there is
            no image. A missing image is an error of that image.
        ValueError: if there is no path, or if an image is given twice.
    """
    paths = list(paths)
    if not paths:
        raise ValueError("Pass image files, or folders with images. Received: no path")
    suffixes = ALL_SUFFIXES + DATA_SUFFIXES * arrays
    missing = [path for path in paths if not path.exists() and not _is_image(path.name, suffixes)]
    if missing:
        raise FileNotFoundError(f"No such file or folder. Received: {_first(missing)}")
    found = [(path, Path(path.name)) for path in paths if not path.is_dir()]
    for folder in filter(Path.is_dir, paths):
        images = images_in(folder, output, suffixes)
        found += [(image, image.relative_to(folder)) for image in images]
    if not found:
        raise FileNotFoundError(
            f"No image with the suffix {', '.join(IMAGE_SUFFIXES)}. Received: {_first(paths)}"
        )
    results = {image: output / name.with_suffix("") for image, name in found}
    if len(results) < len(found):
        counts = collections.Counter(image for image, _ in found)
        repeated = [image for image, count in counts.items() if count > 1]
        raise ValueError(
            "Images that are given twice would overwrite each other's results. "
            f"Received: {_first(repeated)}"
        )
    return results


def _is_image(name, suffixes):
    return not name.startswith(".") and name.lower().endswith(suffixes)


def _first(paths):
    return sorted(map(str, paths))[:10]


def images_in(
    root: Path, without: Path | None = None, suffixes: tuple[str, ...] = ALL_SUFFIXES
) -> Iterator[Path]:
    """Yields the image files in a folder and the folders in it, in alphabetical order.

    Args:
        root: the folder.
        without: folder to leave out.
        suffixes: suffixes of images.
    """
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not _is_same(Path(folder, name), without)
        )
        yield from (Path(folder, name) for name in sorted(files) if _is_image(name, suffixes))


def _is_same(folder, other):
    return other is not None and other.exists() and folder.samefile(other)


def check_results(results: Mapping[Path, Path], suffixes: Sequence[str]) -> None:
    """Checks that no result would overwrite another one, or an image.

    Args:
        results: images and the paths of their results, see `find_images`.
        suffixes: ends of the names of the results of an image, such as `"_overlay.png"`.

    Raises:
        ValueError: if one would.
    """
    outputs = [result_path(stem, suffix) for stem in results.values() for suffix in suffixes]
    counts = collections.Counter(outputs)
    repeated = sorted(str(path) for path, count in counts.items() if count > 1)
    if repeated:
        raise ValueError(
            "Images with the same name would overwrite each other's results. Rename them, or pass "
            f"them in several calls with an `--output` each. Received: {repeated[:10]}"
        )
    resolved = {path.resolve() for path in outputs}
    overwritten = sorted(str(path) for path in results if path.resolve() in resolved)
    if overwritten:
        raise ValueError(
            "Results would overwrite these images: choose another `--output`. "
            f"Received: {overwritten[:10]}"
        )


def result_path(stem: Path, suffix: str) -> Path:
    """Returns the path of a result.

    >>> result_path(Path("out/photo.v2"), "_overlay.png").as_posix()
    'out/photo.v2_overlay.png'
    """
    return stem.with_name(stem.name + suffix)
