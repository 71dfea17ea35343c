"""The base of the TFDS builders: fetches and verifies archives, checks images against masks.

An archive in TFDS's manual folder, packed or unpacked, is used; otherwise it is downloaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from training.input.folder import IGNORED


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file as its authors publish it.

    Attributes:
        address: its URL.
        folder: the folder inside it to use, such as `"VOCdevkit/VOC2012"`.
        algorithm: `"md5"`, `"sha1"` or `"sha256"`.
        digest: its published hash in hexadecimal, or None if none is published.
    """

    address: str
    folder: str
    algorithm: str = "md5"
    digest: str | None = None

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.address.rsplit("/", 1)[1]


class SegmentationBuilder(
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # type: ignore[call-arg]
):
    """A data set of images and masks, read from archives.

    Examples are dicts of `image`, uint8 `(height, width, 3)`; `mask`, uint8
    `(height, width, 1)`, class ids or 255 (ignored); and `image_id`, text.
    Subclasses declare their archives and classes, and generate the examples.

    Attributes:
        ARCHIVES: dict from short names to `Archive`.
        CLASS_NAMES: one name per class.
        COUNTS: dict from splits to their published number of images, or None
            if no number is published.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    ARCHIVES: Mapping[str, Archive] = {}
    CLASS_NAMES: Sequence[str] = ()
    COUNTS: Mapping[str, int | None] = {}
    HOMEPAGE = ""

    @tfds.core.utils.classproperty
    @classmethod
    def MANUAL_DOWNLOAD_INSTRUCTIONS(cls):  # noqa: N802, TFDS's name
        """The archives that the manual folder may contain."""
        archives = "\n".join(
            f"  {archive.name} (or {archive.folder}/, unpacked), from {archive.address}"
            for archive in cls.ARCHIVES.values()
        )
        return f"These are downloaded unless the manual folder contains them:\n{archives}\n"

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image_id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "mask": tfds.features.LabeledImage(
                        labels=list(self.CLASS_NAMES),
                        shape=(None, None, 1),
                        encoding_format="png",
                    ),
                }
            ),
            supervised_keys=("image", "mask"),
            homepage=self.HOMEPAGE,
        )

    def fetch(self, dl_manager: tfds.download.DownloadManager, name: str) -> Path:
        """Returns the folder `Archive.folder` of an archive, unpacked.

        Raises:
            ValueError: if the archive is not the published one.
            FileNotFoundError: if it lacks the folder.
        """
        archive = self.ARCHIVES[name]
        try:
            manual = dl_manager.manual_dir
        except AssertionError:  # TFDS's error for a missing or empty folder
            manual = None
        if manual and (manual / archive.folder).is_dir():
            return manual / archive.folder
        if manual and (manual / archive.name).exists():
            path = manual / archive.name
        else:
            path = dl_manager.download(archive.address)
        verify(path, archive)
        folder = dl_manager.extract(path) / archive.folder
        if not folder.is_dir():
            raise FileNotFoundError(
                f"The archive {archive.name} should contain the folder {archive.folder!r}. Check "
                f"that it comes from {archive.address}. Received: {path}"
            )
        return folder


def verify(path: Path, archive: Archive) -> None:
    """Raises ValueError unless a file has the published hash of `archive`."""
    if archive.digest is None:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, archive.algorithm).hexdigest()
    if digest != archive.digest:
        raise ValueError(
            f"{path} is not the published {archive.name}, perhaps because a download was cut off: "
            f"its {archive.algorithm} should be {archive.digest}. Remove it and run the command "
            f"again. Received: {digest}"
        )


def example(image_id: str, image_path: Path, mask: np.ndarray, classes: int) -> dict:
    """Returns an example of `SegmentationBuilder`.

    Args:
        image_id: the name of the image in its data set.
        image_path: path of the JPEG, whose bytes are kept.
        mask: integers `(height, width)`, class ids or 255 (ignored).
        classes: number of classes.

    Raises:
        FileNotFoundError: if the image is missing.
        ValueError: if it cannot be decoded, or if the mask has another size or
            contains an id that is neither a class nor 255.
    """
    mask = np.asarray(mask)
    size = _image_size(image_path)
    if mask.shape != size:
        raise ValueError(
            f"The image {image_id} and its mask must have the same size. Received: an image of "
            f"{size[1]}x{size[0]} pixels, a mask of {'x'.join(map(str, mask.shape[::-1]))}, in "
            f"{image_path}"
        )
    unknown = np.setdiff1d(mask, [*range(classes), IGNORED])
    if unknown.size:
        raise ValueError(
            f"The mask of {image_id} must contain class ids below {classes}, or {IGNORED} "
            f"(ignored). Received: {unknown[:10].tolist()}"
        )
    return {"image_id": image_id, "image": image_path, "mask": mask[..., None].astype("uint8")}


def read_mask_of(image_id: str, path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
    """Returns `read(path)`, the mask of an image, with errors that name the image.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"The image {image_id} has no mask. Received: {path}")
    try:
        return read(path)
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise ValueError(
            f"The mask of {image_id} cannot be read: {error}. Received: {path}"
        ) from error


def read_ids(path: Path) -> list[str]:
    """Reads a list of image names, one per line."""
    return path.read_text().split()


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """Reads a MATLAB file as a dict of arrays."""
    from scipy.io import loadmat  # only the data sets with MATLAB files need SciPy

    with path.open("rb") as file:
        return loadmat(file)


def _image_size(path):
    """Decodes an image completely, so that truncated files fail; returns height and width."""
    if not path.exists():
        raise FileNotFoundError(f"An image is missing. Received: {path}")
    try:
        with path.open("rb") as file, Image.open(file) as image:
            image.load()
            return image.height, image.width
    except (OSError, SyntaxError) as error:
        raise ValueError(f"The image cannot be decoded: {error}. Received: {path}") from error
