"""Features of a frozen backbone in place of images, computed once and stored in a file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_encnet.utils.files import atomic_file, write_json
from training.configs import SegmentationConfig
from training.research import experiments
from training.run import run_folder
from training.tasks.segmentation import Segmentation

# Features and masks.
Arrays = tuple[np.ndarray, np.ndarray]


def features(config: SegmentationConfig, path: Path) -> tuple[Arrays, list[Arrays], int]:
    """Returns features and masks of all crops of a training run, and of the images to score.

    Args:
        config: the recipe.
        path: file that keeps them for the next time.

    Returns:
        The crops, features `(steps, batch, rows, columns, channels)` and masks `(steps, batch,
        rows, columns)`; the images, each a pair without the first axis, with batch 1; and the
        number of classes.

    Raises:
        FileExistsError: if the data are not those of the results next to the file.
        ValueError: if files, labels or the stored features cannot be used; it names them.
    """
    task = Segmentation(config)
    model = task.build_model()
    experiments.check_data(path.parent, [task.train_split, task.val_split])
    if not path.exists():
        # Before the features, so that they are never taken for those of another recipe; after
        # the data and the model, so that an error in these leaves nothing behind.
        write_json(path.with_name("config.json"), run_folder.describe(config))
        _write_features(task, model, path)
    try:
        with np.load(path) as arrays:
            images = [(arrays[f"x{i}"], arrays[f"y{i}"]) for i in range(len(task.val_split))]
            return (arrays["crops"], arrays["masks"]), images, model.classes
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The features are damaged: {error}. Remove the file to compute them again. "
            f"Received: {str(path)!r}"
        ) from error


def _write_features(task, model, path):
    backbone = keras.Model(model.input, model.get_layer("head_conv").input)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    def compute(images):
        return tf.cast(backbone(images, training=False), tf.float16)

    steps = task.config.epochs * task.steps_per_epoch
    crops = _compute(compute, task.train_batches().take(steps), steps)
    whole = task.val_batches().map(lambda images, masks: (model.resized(images), masks))
    images = _compute(compute, whole, len(task.val_split))
    arrays = {f"x{i}": x for i, (x, _) in enumerate(images)}
    arrays |= {f"y{i}": y for i, (_, y) in enumerate(images)}
    xs, ys = (np.stack(part) for part in zip(*crops, strict=True))
    with atomic_file(path) as temporary:
        np.savez(temporary, crops=xs, masks=ys, **arrays)


def _compute(compute, batches, count):
    """Returns features of batches, and their masks at the same size."""
    found = []
    for images, masks in tqdm(batches, total=count, unit="batch"):
        x = compute(tf.cast(images, tf.float32))
        y = tf.image.resize(masks[..., None], tf.shape(x)[1:3], "nearest")[..., 0]
        found.append((x.numpy(), y.numpy()))
    return found


def train_batches(xs: np.ndarray, ys: np.ndarray) -> tf.data.Dataset:
    """Returns the crops as endless batches, features in float32."""

    def to_float32(x, y):
        return tf.cast(x, tf.float32), y

    return tf.data.Dataset.from_tensor_slices((xs, ys)).map(to_float32).repeat()


def val_batches(images: Sequence[Arrays]) -> tf.data.Dataset:
    """Returns each image exactly once, features in float32."""

    def pairs():
        for x, y in images:
            yield x.astype("float32"), y

    channels = images[0][0].shape[-1]
    dataset = tf.data.Dataset.from_generator(
        pairs,
        output_signature=(
            tf.TensorSpec((1, None, None, channels), tf.float32),
            tf.TensorSpec((1, None, None), tf.int32),
        ),
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(len(images)))
