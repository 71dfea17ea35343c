"""CIFAR-10 and CIFAR-100 from TensorFlow Datasets, in memory."""

import os

import numpy as np

from keras_encnet.utils.downloads import naming_download
from training.input.cifar_batches import Split

NAMES = ("cifar10", "cifar100")


def read_split(data: str, name: str, data_dir: str | os.PathLike | None = None) -> Split:
    """Reads a split, which TensorFlow Datasets downloads on first use.

    Args:
        data: String, one of `NAMES`.
        name: String, a split of TensorFlow Datasets, such as `"train[:90%]"`.
        data_dir: Path of the data, `~/tensorflow_datasets` by default.

    Returns:
        A `Split`, always in the same order.

    Raises:
        ValueError: For another data set, or an unknown split.
        OSError: If the data set cannot be downloaded.
    """
    import tensorflow_datasets as tfds  # slow to import, and only CIFAR needs it

    if data not in NAMES:
        raise ValueError(f"`data` must be one of {NAMES}. Received: data={data!r}")
    remedy = (
        "Run the command once with access to the internet, or copy the prepared data from another "
        f"machine and pass their folder with `--data-dir`. Received: data_dir={data_dir!r}"
    )
    with naming_download(data, remedy):
        tfds.builder(data, data_dir=data_dir).download_and_prepare()
    batch, info = tfds.load(
        data, split=name, batch_size=-1, shuffle_files=False, data_dir=data_dir, with_info=True
    )
    return Split(
        name=name,
        images=np.asarray(batch["image"]),
        labels=np.asarray(batch["label"], "int32"),
        class_names=tuple(info.features["label"].names),
    )
