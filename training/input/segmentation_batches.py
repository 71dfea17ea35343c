"""From files to batches: reading, augmentation and batching with `tf.data`.

A training batch is a pure function of the seed and the number of its step. There is no shuffle
buffer and no stateful generator, so a run can resume at any step with identical batches.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized

import tensorflow as tf

from keras_encnet.masks import ignored_labels
from training.input.augmentation import Augmentation, augment, resize_pair
from training.input.folder import IGNORED, Split
from training.input.image_files import decode_image, decode_mask

# The input context without a distribution strategy.
ONE_REPLICA = tf.distribute.InputContext()


def samples_per_pass(split: Sized, batch_size: int) -> int:
    """Returns the number of samples between two shuffles of a split: those of its full batches.

    The images left out differ between passes, as each pass is shuffled first. A split that is
    smaller than a batch occurs in it several times, each time cropped differently.

    Args:
        split: A split.
        batch_size: Integer, the number of images per batch.

    Raises:
        ValueError: If `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
    return len(split) // batch_size * batch_size or len(split)


def train_batches(
    split: Split,
    *,
    crop_size: int | Sequence[int],
    batch_size: int,
    seed: int,
    augmentation: Augmentation = Augmentation(),
    ignore_class: int | Sequence[int] = IGNORED,
    first_step: int = 0,
    input_context: tf.distribute.InputContext = ONE_REPLICA,
) -> tf.data.Dataset:
    """Makes infinite batches of shuffled and augmented crops.

    Args:
        split: A `Split`.
        crop_size: Integer or pair of integers, the height and width of the crops.
        batch_size: Integer, the number of images per step, over all replicas.
        seed: Integer. The same seed gives the same batches.
        augmentation: An `Augmentation`.
        ignore_class: Integer or sequence of integers, the ignored labels. Pixels outside the image
            get the first; masks keep all of them.
        first_step: Integer, the number of batches to skip. They are not computed.
        input_context: A `tf.distribute.InputContext`. With several replicas, an element is the
            share of one replica: for each step, the shares of the replicas that this input
            pipeline feeds. Other shares are not computed.

    Returns:
        A `tf.data.Dataset` of images, `uint8` or `float32` as of `Split.pixels`, of shape
        `(batch, height, width, channels)`, and masks, `int32` of shape `(batch, height, width)`.

    Raises:
        ValueError: If a number is out of range.
    """
    crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
    if len(crop_size) != 2 or min(crop_size) < 1:
        raise ValueError(
            "`crop_size` must be a positive integer, or a height and a width. "
            f"Received: crop_size={crop_size}"
        )
    if first_step < 0:
        raise ValueError(f"`first_step` must not be negative. Received: first_step={first_step}")
    pass_length = samples_per_pass(split, batch_size)
    image_paths, mask_paths = _paths(split)
    last = tf.constant(len(split) - 1, tf.int64)
    share = input_context.get_per_replica_batch_size(batch_size)

    def crop(number):
        step, replica = step_and_replica(number // share, input_context)
        sample = step * batch_size + replica * share + number % share
        passes, position = sample // pass_length, sample % pass_length
        index = tf.random.experimental.index_shuffle(
            position, seed=tf.stack([seed, passes]), max_index=last
        )
        image, mask = _read(image_paths[index], mask_paths[index], split)
        if augmentation.working_size is not None:
            image, mask = resize_pair(image, mask, augmentation.working_size)
        return augment(
            image,
            mask,
            augmentation,
            crop_size=crop_size,
            seed=tf.stack([seed, sample]),
            outside=ignored_labels(ignore_class)[0],
        )

    seed = tf.constant(seed, tf.int64)
    return (
        tf.data.Dataset.counter(first_step * replicas_here(input_context) * share)
        .map(crop, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def whole_images(
    split: Split,
    *,
    ignore_class: int | Sequence[int] = IGNORED,
    input_context: tf.distribute.InputContext = ONE_REPLICA,
) -> tf.data.Dataset:
    """Makes batches of one uncropped image each, in its original size, in the order of the split.

    With several replicas, each takes one image per step. If the images do not suffice for the last
    step, the remaining replicas get an image whose pixels are all ignored.

    Args:
        split: A `Split`.
        ignore_class: Integer or sequence of integers, the ignored labels.
        input_context: As for `train_batches`.

    Returns:
        A finite `tf.data.Dataset` of images, `uint8` or `float32` as of `Split.pixels`, of shape
        `(1, height, width, channels)`, and masks, `int32` of shape `(1, height, width)`.
    """
    image_paths, mask_paths = _paths(split)
    replicas = input_context.num_replicas_in_sync
    steps = -(-len(split) // replicas)

    def read(number):
        step, replica = step_and_replica(number, input_context)
        index = step * replicas + replica
        path = tf.minimum(index, len(split) - 1)
        image, mask = _read(image_paths[path], mask_paths[path], split)
        return image, tf.where(index < len(split), mask, ignored_labels(ignore_class)[0])

    return (
        tf.data.Dataset.range(steps * replicas_here(input_context))
        .map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(1, drop_remainder=True)  # makes the batch size static; drops nothing
        .prefetch(tf.data.AUTOTUNE)
    )


def replicas_here(input_context: tf.distribute.InputContext) -> int:
    """Returns the number of replicas that one input pipeline feeds: those of one machine."""
    return input_context.num_replicas_in_sync // input_context.num_input_pipelines


def step_and_replica(
    number: tf.Tensor, input_context: tf.distribute.InputContext
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the step and the replica of the element `number` of an input pipeline."""
    here = replicas_here(input_context)
    return number // here, input_context.input_pipeline_id * here + number % here


def _read(image_path, mask_path, split):
    image = decode_image(image_path, split.pixels)
    mask = decode_mask(mask_path, split.label_map)
    image_size, mask_size = tf.shape(image)[:2], tf.shape(mask)
    tf.debugging.Assert(
        tf.reduce_all(image_size == mask_size),
        [
            "An image and its mask must have the same size. Received:",
            *(image_path, image_size, mask_path, mask_size),
        ],
    )
    return image, mask


def _paths(split):
    return tuple(
        tf.constant([str(path) for path in paths])
        for paths in (split.image_paths, split.mask_paths)
    )
