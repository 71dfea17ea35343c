"""What the TFDS builders share: archives fetched and verified, pairs of files checked.

An original is taken from the manual folder of TFDS if it lies there, as the archive or unpacked,
and downloaded otherwise.
"""

import dataclasses
import hashlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

IGNORED = 255


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file as its authors publish it.

    Attributes:
        address: where it is.
        folder: the folder in it that is wanted, such as `"VOCdevkit/VOC2012"`.
        algorithm: `"md5"`, `"sha1"` or `"sha256"`.
        digest: its published hash in hexadecimal, or None where none is.
    """

    address: str
    folder: str
    algorithm: str = "md5"
    digest: str | None = None

    @property
    def name(self):
        """The name of the file."""
        return self.address.rsplit("/", 1)[1]


class SegmentationBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A data set of images and masks, read from archives.

    Examples are dicts of `image`, uint8 `(height, width, 3)`; `mask`, uint8
    `(height, width, 1)`, class ids and 255 for void; and `image_id`, text.
    A subclass says which archives and classes it has, and reads them.

    Attributes:
        ARCHIVES: dict from short names to `Archive`.
        CLASS_NAMES: one name per class.
        COUNTS: dict from splits to the number of images that they should have,
            None where no number is published.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    ARCHIVES = {}
    CLASS_NAMES = ()
    COUNTS = {}
    HOMEPAGE = ""

    @tfds.core.utils.classproperty
    @classmethod
    def MANUAL_DOWNLOAD_INSTRUCTIONS(cls):  # noqa: N802, TFDS's name
        """What may lie in the manual folder."""
        places = "\n".join(
            f"  {archive.name} (or {archive.folder}/, unpacked), from {archive.address}"
            for archive in cls.ARCHIVES.values()
        )
        return f"Everything is downloaded, but for what is in this folder already:\n{places}\n"

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

    def fetch(self, dl_manager, name):
        """Returns the wanted folder of an archive, unpacked.

        Raises:
            ValueError: if the archive isn't the published one.
            FileNotFoundError: if it lacks the wanted folder.
        """
        archive = self.ARCHIVES[name]
        try:
            manual = dl_manager.manual_dir
        except AssertionError:  # what TFDS raises if the folder is missing or empty
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
                f"The archive {archive.name} should have the folder {archive.folder!r}. Is it the "
                f"one from {archive.address}? Received: {path}"
            )
        return folder


def verify(path, archive):
    """Raises ValueError unless a file has the published hash of `archive`."""
    if archive.digest is None:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, archive.algorithm).hexdigest()
    if digest != archive.digest:
        raise ValueError(
            f"{path} isn't the published {archive.name}, perhaps because a download broke off: its "
            f"{archive.algorithm} should be {archive.digest}. Remove it and begin anew. "
            f"Received: {digest}"
        )


def example(image_id, image_path, mask, classes):
    """Returns an example of `SegmentationBuilder`.

    Args:
        image_id: text, the name of the image in its data set.
        image_path: path of the JPEG, whose bytes are kept as they are.
        mask: integers `(height, width)`, class ids or 255 for void.
        classes: number of classes.

    Raises:
        FileNotFoundError: if the image is missing.
        ValueError: if it can't be decoded, if the mask has another size, or an
            id that is neither a class nor void.
    """
    mask = np.asarray(mask)
    size = _size(image_path)
    if mask.shape != size:
        raise ValueError(
            f"The image {image_id} and its mask must agree in size. Received: an image of "
            f"{size[1]}x{size[0]} pixels, a mask of {'x'.join(map(str, mask.shape[::-1]))}, in "
            f"{image_path}"
        )
    unknown = np.setdiff1d(mask, [*range(classes), IGNORED])
    if unknown.size:
        raise ValueError(
            f"The mask of {image_id} must hold class ids below {classes}, or {IGNORED} (ignored). "
            f"Received: {unknown[:10].tolist()}"
        )
    return {"image_id": image_id, "image": image_path, "mask": mask[..., None].astype("uint8")}


def read_mask_of(image_id, path, read):
    """Returns `read(path)`, the mask of an image.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it can't be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"The image {image_id} has no mask. Received: {path}")
    try:
        return read(path)
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise ValueError(
            f"The mask of {image_id} can't be read: {error}. Received: {path}"
        ) from error


def read_ids(path):
    """Reads a list of image names, one a line."""
    return path.read_text().split()


def read_mat(path):
    """Reads a MATLAB file, a dict of arrays."""
    from scipy.io import loadmat

    with path.open("rb") as file:
        return loadmat(file)


def _size(path):
    """Decodes an image to its end and returns height and width."""
    if not path.exists():
        raise FileNotFoundError(f"An image is missing. Received: {path}")
    try:
        with path.open("rb") as file, Image.open(file) as image:
            image.load()
            return image.height, image.width
    except (OSError, SyntaxError) as error:
        raise ValueError(f"The image can't be decoded: {error}. Received: {path}") from error
