"""From images in memory to batches, by whole batches: no operation is done per image.

As in `training.input_pipeline`, a batch of training is a pure function of the seed and of its
number.
"""

import tensorflow as tf

from keras_encnet.preprocessing import preprocess_input
from training.input_pipeline import steps_per_epoch

# Images of a batch where nothing is learned; a batch more or less changes no score.
EVALUATION_BATCH = 500


def train_batches(split, *, batch_size, mode, seed, padding=4, flip=True, first_step=0):
    """Makes endless batches of shuffled and augmented images.

    An image is padded with black on all sides, cut to its own size at a random place, and flipped
    from left to right or not.

    Args:
        split: A `training.datasets.cifar.Split`.
        batch_size: Integer, the images of a batch.
        mode: String, the normalisation, see `keras_encnet.preprocessing.preprocess_input`.
        seed: Integer. The same seed makes the same batches.
        padding: Integer, the black pixels on each side.
        flip: Whether every other image is flipped, by chance.
        first_step: Integer, how many batches to leave out. They are not computed.

    Returns:
        A `tf.data.Dataset` of images, normalised `float32` of shape `(batch, height, width, 3)`,
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

    def batch(step):
        epoch, position = step // steps, step % steps
        index = tf.random.experimental.index_shuffle(
            position * batch_size + tf.range(batch_size, dtype=tf.int64),
            seed=tf.stack([seed, epoch]),
            max_index=last,
        )
        crops = pad_flip_crop(tf.gather(images, index), padding, flip, tf.stack([seed, step]))
        return preprocess_input(crops, mode), tf.gather(labels, index)

    return (
        tf.data.Dataset.counter(first_step)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def all_images(split, *, mode):
    """Makes batches of every image once, in the order of the split.

    Args:
        split: A `training.datasets.cifar.Split`.
        mode: String, the normalisation, see `keras_encnet.preprocessing.preprocess_input`.

    Returns:
        A finite `tf.data.Dataset` as of `train_batches`; its last batch may be smaller.
    """
    return (
        tf.data.Dataset.from_tensor_slices((split.images, split.labels))
        .batch(EVALUATION_BATCH)
        .map(lambda images, labels: (preprocess_input(images, mode), labels))
        .prefetch(tf.data.AUTOTUNE)
    )


def pad_flip_crop(images, padding, flip, seed):
    """Pads images with black, flips some, and cuts each to its own size at a random place.

    Args:
        images: `uint8` tensor of shape `(batch, height, width, 3)`, fully known.
        padding: Integer, the black pixels on each side.
        flip: Whether every other image is flipped, by chance.
        seed: Integer tensor of shape `(2,)`, all that chance depends on.

    Returns:
        A tensor of the same shape and dtype.
    """
    batch, height, width, _ = images.shape
    place = tf.random.stateless_uniform((3, batch, 1), seed)
    top, left = tf.unstack(tf.cast(tf.floor(place[:2] * (2 * padding + 1)), tf.int32))
    rows, columns = top + tf.range(height), left + tf.range(width)
    if flip:
        columns = tf.where(place[2] < 0.5, columns, tf.reverse(columns, [1]))
    padded = tf.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    cut = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(cut, columns, axis=2, batch_dims=1)
