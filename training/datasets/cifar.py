"""CIFAR-10 and CIFAR-100 from TensorFlow Datasets, in memory."""

import dataclasses

import numpy as np

NAMES = ("cifar10", "cifar100")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The images of one split.

    Attributes:
        name: String, such as `"train"` or `"train[:90%]"`.
        images: `uint8` array of shape `(count, 32, 32, 3)`.
        labels: `int32` array of shape `(count,)`.
        class_names: Tuple of strings. The index of a name is the id of its class.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple

    def __len__(self):
        return len(self.images)


def read_split(data, name, data_dir=None):
    """Reads a split, which TensorFlow Datasets downloads at its first use.

    Args:
        data: String, one of `NAMES`.
        name: String, a split of TensorFlow Datasets, such as `"train[:90%]"`.
        data_dir: Path of the data, `~/tensorflow_datasets` by default.

    Returns:
        A `Split`, in an order that never changes.

    Raises:
        ValueError: for another data set, or a split that it doesn't have.
    """
    import tensorflow_datasets as tfds  # slow, and not everybody's

    if data not in NAMES:
        raise ValueError(f"`data` must be one of {NAMES} here. Received: data={data!r}")
    batch, info = tfds.load(
        data, split=name, batch_size=-1, shuffle_files=False, data_dir=data_dir, with_info=True
    )
    return Split(
        name=name,
        images=np.asarray(batch["image"]),
        labels=np.asarray(batch["label"], "int32"),
        class_names=tuple(info.features["label"].names),
    )
