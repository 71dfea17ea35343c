"""From images in memory to batches, by whole batches: no operation is done per image.

As in `training.input.segmentation_batches`, a training batch is a pure function of the seed and
of its number.
"""

import tensorflow as tf

from keras_encnet.preprocessing import preprocess_input
from training.input.segmentation_batches import (
    ALONE,
    replicas_here,
    step_and_replica,
    steps_per_epoch,
)

# Images of a batch where nothing is learned; a batch more or less changes no score.
EVALUATION_BATCH = 500


def train_batches(
    split,
    *,
    batch_size,
    mode,
    seed,
    padding=4,
    flip=True,
    first_step=0,
    input_context=ALONE,
):
    """Makes endless batches of shuffled and augmented images.

    An image is padded with black on all sides, cut to its own size at a random place, and flipped
    from left to right or not.

    Args:
        split: A `training.datasets.cifar.Split`.
        batch_size: Integer, the images of a batch, of all replicas together.
        mode: String, the normalization, see `keras_encnet.preprocessing.preprocess_input`.
        seed: Integer. The same seed makes the same batches.
        padding: Integer, the black pixels on each side.
        flip: Whether every other image is flipped, by chance.
        first_step: Integer, how many batches to leave out. They are not computed.
        input_context: A `tf.distribute.InputContext`, as in `training.input.segmentation_batches`.

    Returns:
        A `tf.data.Dataset` of images, normalized `float32` of shape `(batch, height, width, 3)`,
        and labels, `int32` of shape `(batch,)`.

    Raises:
        ValueError: If the split can't fill one batch, or if a number is out of range.
    """
    for argument, value in (("padding", padding), ("first_step", first_step)):
        if value < 0:
            raise ValueError(f"`{argument}` must not be negative. Received: {argument}={value}")
    steps = steps_per_epoch(split, batch_size)
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
        # Drawn for the whole batch, however many replicas share it.
        chance = tf.random.stateless_uniform((3, batch_size), tf.stack([seed, step]))
        chance = tf.ensure_shape(chance[:, row : row + share], (3, share))
        crops = pad_flip_crop(tf.gather(images, index), padding, flip, chance)
        return preprocess_input(crops, mode), tf.gather(labels, index)

    return (
        tf.data.Dataset.counter(first_step * replicas_here(input_context))
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def all_images(split, *, mode, input_context=ALONE):
    """Makes batches of every image once, in the order of the split.

    Several replicas need full batches. Where images are missing the last one is repeated, with a
    weight of 0; the weights of all others make up for it, so that means stay what they were.

    Args:
        split: A `training.datasets.cifar.Split`.
        mode: String, the normalization, see `keras_encnet.preprocessing.preprocess_input`.
        input_context: As for `train_batches`.

    Returns:
        A finite `tf.data.Dataset` as of `train_batches`; its last batch may be smaller. If there
        are several replicas, with weights, `float32` of shape `(batch,)`.
    """
    images, labels = tf.constant(split.images), tf.constant(split.labels)
    replicas = input_context.num_replicas_in_sync
    share = min(EVALUATION_BATCH, -(-len(split) // replicas))
    steps = -(-len(split) // (replicas * share))

    def batch(number):
        step, replica = step_and_replica(number, input_context)
        index = (step * replicas + replica) * share + tf.range(share, dtype=tf.int64)
        there = index < len(split)
        index = index[there] if replicas == 1 else tf.minimum(index, len(split) - 1)
        batch = preprocess_input(tf.gather(images, index), mode), tf.gather(labels, index)
        if replicas == 1:
            return batch
        return *batch, tf.cast(there, tf.float32) * (steps * replicas * share / len(split))

    return (
        tf.data.Dataset.range(steps * replicas_here(input_context))
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def pad_flip_crop(images, padding, flip, chance):
    """Pads images with black, flips some, and cuts each to its own size at a random place.

    Args:
        images: `uint8` tensor of shape `(batch, height, width, 3)`, fully known.
        padding: Integer, the black pixels on each side.
        flip: Whether every other image is flipped, by chance.
        chance: Float tensor of shape `(3, batch)` in 0 to 1: how far down and right each image is
            cut, and whether it is flipped.

    Returns:
        A tensor of the same shape and dtype.
    """
    height, width = images.shape[1:3]
    chance = chance[..., None]
    top, left = tf.unstack(tf.cast(tf.floor(chance[:2] * (2 * padding + 1)), tf.int32))
    rows, columns = top + tf.range(height), left + tf.range(width)
    if flip:
        columns = tf.where(chance[2] < 0.5, columns, tf.reverse(columns, [1]))
    padded = tf.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    cut = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(cut, columns, axis=2, batch_dims=1)
