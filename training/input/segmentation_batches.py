"""From files to batches: reading, augmentation and batching with `tf.data`.

The batches of training are a pure function of the seed and of their number. No shuffle buffer and
no generator has a state, so a run that stops may go on at any step with the very batches that it
would have seen.
"""

import tensorflow as tf

from keras_encnet.preprocessing import preprocess_input
from training.input.augmentation import Augmentation, augment, resize_long_side
from training.input.image_files import decode_image, decode_mask

# One replica, which reads everything.
ALONE = tf.distribute.InputContext()


def steps_per_epoch(split, batch_size):
    """Returns how many whole batches a split holds.

    The images that are left over vary: each epoch shuffles before it leaves them out.

    Args:
        split: A `Split`.
        batch_size: Integer, the images of a batch.

    Raises:
        ValueError: If the split can't fill one batch.
    """
    if not 1 <= batch_size <= len(split):
        raise ValueError(
            f"`batch_size` must be at least 1, and at most the {len(split)} images of the split "
            f"{split.name!r}: an image is seen once an epoch. Received: batch_size={batch_size}"
        )
    return len(split) // batch_size


def train_batches(
    split,
    *,
    crop_size,
    batch_size,
    mode,
    seed,
    augmentation=Augmentation(),
    ignore_class=255,
    first_step=0,
    input_context=ALONE,
):
    """Makes endless batches of shuffled and augmented crops.

    Args:
        split: A `Split`.
        crop_size: Integer or pair of integers, the height and the width of the crops.
        batch_size: Integer, the images of a batch, of all replicas together.
        mode: String, the normalization, see `keras_encnet.preprocessing.preprocess_input`.
        seed: Integer. The same seed makes the same batches.
        augmentation: An `Augmentation`.
        ignore_class: Integer or tuple of integers, the labels that are ignored in loss and metrics.
            Pixels outside the image get the first of them; masks keep all of them.
        first_step: Integer, how many batches to leave out. They are not computed.
        input_context: A `tf.distribute.InputContext`. Where there are several replicas, an
            element is the share of one: step by step, those of the replicas that the context's
            pipeline feeds. No other share is computed.

    Returns:
        A `tf.data.Dataset` of images, normalized `float32` of shape `(batch, height, width, 3)`,
        and masks, `int32` of shape `(batch, height, width)`.

    Raises:
        ValueError: If the split can't fill one batch, or if a number is out of range.
    """
    crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)
    if len(crop_size) != 2 or min(crop_size) < 1:
        raise ValueError(
            "`crop_size` must be a positive integer, or a height and a width. "
            f"Received: crop_size={crop_size}"
        )
    if first_step < 0:
        raise ValueError(f"`first_step` must not be negative. Received: first_step={first_step}")
    samples = steps_per_epoch(split, batch_size) * batch_size  # an epoch
    image_paths, mask_paths = _paths(split)
    outside = _one_of(ignore_class)
    share = input_context.get_per_replica_batch_size(batch_size)

    def crop(number):
        step, replica = step_and_replica(number // share, input_context)
        sample = step * batch_size + replica * share + number % share
        epoch, position = sample // samples, sample % samples
        index = tf.random.experimental.index_shuffle(
            position, seed=tf.stack([seed, epoch]), max_index=tf.constant(len(split) - 1, tf.int64)
        )
        image, mask = _read(image_paths[index], mask_paths[index])
        if augmentation.base_size is not None:
            image, mask = resize_long_side(image, mask, augmentation.base_size)
        return augment(
            image,
            mask,
            augmentation,
            crop_size=crop_size,
            seed=tf.stack([seed, sample]),
            outside=outside,
        )

    # Compiled for the one shape of these batches, it takes a third of the time.
    @tf.function(jit_compile=True)
    def normalize(images):
        return preprocess_input(images, mode=mode)

    seed = tf.constant(seed, tf.int64)
    return (
        tf.data.Dataset.counter(first_step * replicas_here(input_context) * share)
        .map(crop, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share, drop_remainder=True)
        .map(lambda images, masks: (normalize(images), masks))
        .prefetch(tf.data.AUTOTUNE)
    )


def whole_images(split, *, mode, ignore_class=255, input_context=ALONE):
    """Makes batches of one whole image each, at its own size and in the order of the split.

    Several replicas take an image each at every step. Those that none is left for get one that is
    void everywhere, which counts nowhere.

    Args:
        split: A `Split`.
        mode: String, the normalization, see `keras_encnet.preprocessing.preprocess_input`.
        ignore_class: Integer or tuple of integers, the labels of pixels without a class.
        input_context: As for `train_batches`.

    Returns:
        A finite `tf.data.Dataset` of images, normalized `float32` of shape
        `(1, height, width, 3)`, and masks, `int32` of shape `(1, height, width)`.
    """
    image_paths, mask_paths = _paths(split)
    replicas = input_context.num_replicas_in_sync
    steps = -(-len(split) // replicas)

    def read(number):
        step, replica = step_and_replica(number, input_context)
        index = step * replicas + replica
        path = tf.minimum(index, len(split) - 1)
        image, mask = _read(image_paths[path], mask_paths[path])
        return image, tf.where(index < len(split), mask, _one_of(ignore_class))

    return (
        tf.data.Dataset.range(steps * replicas_here(input_context))
        .map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(1, drop_remainder=True)  # for a static batch size; no image is left over
        .map(lambda images, masks: (preprocess_input(images, mode=mode), masks))
        .prefetch(tf.data.AUTOTUNE)
    )


def replicas_here(input_context):
    """Returns how many replicas one input pipeline feeds: those of one machine."""
    return input_context.num_replicas_in_sync // input_context.num_input_pipelines


def step_and_replica(number, input_context):
    """Returns which step and replica the element of that number of an input pipeline is for."""
    here = replicas_here(input_context)
    return number // here, input_context.input_pipeline_id * here + number % here


def _one_of(ignore_class):
    return ignore_class if isinstance(ignore_class, int) else ignore_class[0]


def _read(image_path, mask_path):
    image, mask = decode_image(image_path), decode_mask(mask_path)
    image_size, mask_size = tf.shape(image)[:2], tf.shape(mask)
    tf.debugging.Assert(
        tf.reduce_all(image_size == mask_size),
        ["An image and its mask differ in size.", image_path, image_size, mask_path, mask_size],
    )
    return image, mask


def _paths(split):
    return tuple(
        tf.constant([str(path) for path in paths])
        for paths in (split.image_paths, split.mask_paths)
    )
