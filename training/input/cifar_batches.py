"""Batches from CIFAR images in memory. All operations are on whole batches, none on single images.

As in `training.input.segmentation_batches`, a training batch is a pure function of the seed and
the number of its step.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from training.input.segmentation_batches import (
    ONE_REPLICA,
    replicas_here,
    step_and_replica,
)

# Images per batch in evaluation. The scores do not depend on it.
EVALUATION_BATCH = 500


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The labeled images of one split.

    Attributes:
        name: String, such as `"train"` or `"train[:90%]"`.
        images: `uint8` array of shape `(count, height, width, 3)`.
        labels: `int32` array of shape `(count,)`.
        class_names: Tuple of strings. The index of a name is the id of its class.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


def train_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    padding: int = 4,
    flip: bool = True,
    first_step: int = 0,
    input_context: tf.distribute.InputContext = ONE_REPLICA,
) -> tf.data.Dataset:
    """Makes infinite batches of shuffled and augmented images.

    An image is padded with black on all sides, cropped at random to its original size, and flipped
    horizontally with probability 1/2.

    Args:
        split: A `Split`.
        batch_size: Integer, the number of images per step, over all replicas.
        seed: Integer. The same seed gives the same batches.
        padding: Integer, the number of black pixels on each side.
        flip: Whether to flip at random.
        first_step: Integer, the number of batches to skip. They are not computed.
        input_context: A `tf.distribute.InputContext`, as in `training.input.segmentation_batches`.

    Returns:
        A `tf.data.Dataset` of images, `uint8` of shape `(batch, height, width, 3)`, and labels,
        `int32` of shape `(batch,)`.

    Raises:
        ValueError: If the split is smaller than a batch, or if a number is out of range.
    """
    for argument, value in (("padding", padding), ("first_step", first_step)):
        if value < 0:
            raise ValueError(f"`{argument}` must not be negative. Received: {argument}={value}")
    if not 1 <= batch_size <= len(split):
        raise ValueError(
            f"`batch_size` must be at least 1 and at most {len(split)}, the number of images of "
            f"the split. Received: batch_size={batch_size}"
        )
    steps = len(split) // batch_size
    images, labels = tf.constant(split.images), tf.constant(split.labels)
    last = tf.constant(len(split) - 1, tf.int64)
    seed = tf.constant(seed, tf.int64)
    share = input_context.get_per_replica_batch_size(batch_size)

    def batch(number):
        step, replica = step_and_replica(number, input_context)
        epoch, position = step // steps, step % steps
        row = replica * share
        index = tf.random.experimental.index_shuffle(
            position * batch_size + row + tf.range(share, dtype=tf.int64),
            seed=tf.stack([seed, epoch]),
            max_index=last,
        )
        # For the whole batch, so that it does not depend on the number of replicas.
        uniform = tf.random.stateless_uniform((3, batch_size), tf.stack([seed, step]))
        uniform = tf.ensure_shape(uniform[:, row : row + share], (3, share))
        crops = pad_flip_crop(tf.gather(images, index), padding, flip, uniform)
        return crops, tf.gather(labels, index)

    return (
        tf.data.Dataset.counter(first_step * replicas_here(input_context))
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def all_images(
    split: Split, *, input_context: tf.distribute.InputContext = ONE_REPLICA
) -> tf.data.Dataset:
    """Makes batches of every image once, in the order of the split.

    With several replicas all batches must be full: they are filled with copies of the last image of
    weight 0, and the weights of all others are scaled up, so that means are unchanged.

    Args:
        split: A `Split`.
        input_context: As for `train_batches`.

    Returns:
        A finite `tf.data.Dataset` as of `train_batches`; its last batch may be smaller. With
        several replicas its elements have weights, too, `float32` of shape `(batch,)`.
    """
    images, labels = tf.constant(split.images), tf.constant(split.labels)
    replicas = input_context.num_replicas_in_sync
    share = min(EVALUATION_BATCH, -(-len(split) // replicas))
    steps = -(-len(split) // (replicas * share))

    def batch(number):
        step, replica = step_and_replica(number, input_context)
        index = (step * replicas + replica) * share + tf.range(share, dtype=tf.int64)
        exists = index < len(split)
        index = index[exists] if replicas == 1 else tf.minimum(index, len(split) - 1)
        batch = tf.gather(images, index), tf.gather(labels, index)
        if replicas == 1:
            return batch
        return *batch, tf.cast(exists, tf.float32) * (steps * replicas * share / len(split))

    return (
        tf.data.Dataset.range(steps * replicas_here(input_context))
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def pad_flip_crop(images: tf.Tensor, padding: int, flip: bool, uniform: tf.Tensor) -> tf.Tensor:
    """Pads images with black, flips some, and crops each to its original size at random.

    Args:
        images: `uint8` tensor of shape `(batch, height, width, 3)`, fully known.
        padding: Integer, the number of black pixels on each side.
        flip: Whether to flip images horizontally with probability 1/2.
        uniform: Float tensor of shape `(3, batch)`, uniform in [0, 1): top and left of each crop,
            and whether the image is flipped.

    Returns:
        A tensor of the same shape and dtype.
    """
    height, width = images.shape[1:3]
    uniform = uniform[..., None]
    top, left = tf.unstack(tf.cast(tf.floor(uniform[:2] * (2 * padding + 1)), tf.int32))
    rows, columns = top + tf.range(height), left + tf.range(width)
    if flip:
        columns = tf.where(uniform[2] < 0.5, columns, tf.reverse(columns, [1]))
    padded = tf.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    cropped = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(cropped, columns, axis=2, batch_dims=1)
