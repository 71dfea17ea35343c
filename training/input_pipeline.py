"""From files to batches: reading, augmentation and batching with `tf.data`.

The batches of training are a pure function of the seed and of their number. No shuffle buffer and
no generator has a state, so a run that stops may go on at any step with the very batches that it
would have seen.
"""

import dataclasses
import math
import zlib

import tensorflow as tf

from keras_encnet.preprocessing import preprocess_input

# One replica, which reads everything.
ALONE = tf.distribute.InputContext()
# The colour types of a PNG, which its byte 25 tells.
_GREY, _PALETTE = 0, 3
# A checksum is linear in the bits of its data: if the type changes from palette to grey, the same
# bits of it change in every file. The data are 17 bytes, the type is the 14th.
_PALETTE_DATA = bytes(13) + bytes([_PALETTE]) + bytes(3)
_PALETTE_TO_GREY = (zlib.crc32(_PALETTE_DATA) ^ zlib.crc32(bytes(17))).to_bytes(4, "big")
_ALL_BYTES = tuple(bytes([i]) for i in range(256))


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training images are varied, by default as in the paper.

    An image is flipped from left to right or not, resized by a random factor, rotated by a random
    angle about its centre and cut to the crop size at a random place. What lies outside the image
    is black, and void in the mask.

    The paper flips, scales by 0.5 to 2 and rotates by -10 to 10 degrees. Its released code scales
    a base size given for each data set, and doesn't rotate.

    Attributes:
        flip: Whether every other image is flipped, by chance.
        scale: Pair of floats, the least and the greatest factor. Below 0.5, the bilinear
            interpolation begins to leave out pixels.
        rotation: Float, the greatest angle to either side, in degrees.
        base_size: Integer, the long side that an image gets before the random factor, or None,
            its own.
    """

    flip: bool = True
    scale: tuple[float, float] = (0.5, 2.0)
    rotation: float = 10.0
    base_size: int | None = None

    def __post_init__(self):
        if self.base_size is not None and self.base_size < 1:
            raise ValueError(
                "`base_size` must be a positive integer, or None. "
                f"Received: base_size={self.base_size}"
            )
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(
                "`scale` must be the least and the greatest factor, both positive. "
                f"Received: scale={self.scale}"
            )
        if not 0 <= self.rotation <= 180:
            raise ValueError(
                "`rotation` must be the greatest angle to either side, 0 to 180 degrees. "
                f"Received: rotation={self.rotation}"
            )


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
    void=255,
    first_step=0,
    input_context=ALONE,
):
    """Makes endless batches of shuffled and augmented crops.

    Args:
        split: A `Split`.
        crop_size: Integer or pair of integers, the height and the width of the crops.
        batch_size: Integer, the images of a batch, of all replicas together.
        mode: String, the normalisation, see `keras_encnet.preprocessing.preprocess_input`.
        seed: Integer. The same seed makes the same batches.
        augmentation: An `Augmentation`.
        void: Integer or tuple of integers, the labels of pixels without a class. Pixels outside
            the image get the first of them; in the mask, all stay what they are.
        first_step: Integer, how many batches to leave out. They are not computed.
        input_context: A `tf.distribute.InputContext`. Where there are several replicas, an
            element is the share of one: step by step, those of the replicas that the context's
            pipeline feeds. No other share is computed.

    Returns:
        A `tf.data.Dataset` of images, normalised `float32` of shape `(batch, height, width, 3)`,
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
    outside = _one_of(void)
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

    seed = tf.constant(seed, tf.int64)
    return (
        tf.data.Dataset.counter(first_step * replicas_here(input_context) * share)
        .map(crop, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(share, drop_remainder=True)
        .map(lambda images, masks: (preprocess_input(images, mode=mode), masks))
        .prefetch(tf.data.AUTOTUNE)
    )


def whole_images(split, *, mode, void=255, input_context=ALONE):
    """Makes batches of one whole image each, at its own size and in the order of the split.

    Several replicas take an image each at every step. Those that none is left for get one that is
    void everywhere, which counts nowhere.

    Args:
        split: A `Split`.
        mode: String, the normalisation, see `keras_encnet.preprocessing.preprocess_input`.
        void: Integer or tuple of integers, the labels of pixels without a class.
        input_context: As for `train_batches`.

    Returns:
        A finite `tf.data.Dataset` of images, normalised `float32` of shape
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
        return image, tf.where(index < len(split), mask, _one_of(void))

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


def augment(image, mask, augmentation, *, crop_size, seed, outside=255):
    """Flips, scales, rotates and crops an image and its mask.

    All of it is one affine map from the pixels of the crop to those of the image, so each pixel is
    interpolated once. When nothing is to be done the pixels stay as they are, bit for bit.

    Args:
        image: `uint8` tensor of shape `(height, width, 3)`.
        mask: `int32` tensor of shape `(height, width)`.
        augmentation: An `Augmentation`.
        crop_size: Pair of integers, the height and the width of the crop.
        seed: Integer tensor of shape `(2,)`, all that chance depends on.
        outside: Integer, the label of the pixels of the crop that lie outside the image.

    Returns:
        The crop, `uint8`, and its mask, `int32`.
    """
    mirror, factor, turn, *place = tf.unstack(tf.random.stateless_uniform((5,), seed))
    least, greatest = augmentation.scale
    # As in any resizing, the scaled image has whole pixels; `ratio` is then close to the factor.
    size = tf.cast(tf.shape(mask), "float32")
    scaled = tf.maximum(tf.round(size * (least + factor * (greatest - least))), 1.0)
    ratio = scaled / size
    angle = math.radians(augmentation.rotation) * (2.0 * turn - 1.0)
    sign = tf.where(mirror < 0.5, -1.0, 1.0) if augmentation.flip else 1.0
    # The corner of the crop in the scaled image, in whole pixels. If the image is the smaller one,
    # the corner is negative, and the image lies somewhere in the crop.
    slack = scaled - tf.constant(crop_size, "float32")
    corner = tf.floor(tf.minimum(slack, 0.0) + tf.stack(place) * (tf.abs(slack) + 1.0))

    # From the crop to the image: move the centre of the scaled image to the origin, turn, undo the
    # scaling and the flip, move the origin to the centre of the image. A pixel's centre is at half
    # its width here, but at the integers for the operation; hence the halves.
    y, x = tf.unstack(corner - scaled / 2.0 + 0.5)
    xx, xy = sign * tf.cos(angle) / ratio[1], -sign * tf.sin(angle) / ratio[1]
    yx, yy = tf.sin(angle) / ratio[0], tf.cos(angle) / ratio[0]
    x0, y0 = (size[1] - 1.0) / 2.0, (size[0] - 1.0) / 2.0
    affine = [xx, xy, xx * x + xy * y + x0, yx, yy, yx * x + yy * y + y0, 0.0, 0.0]

    # The operation rounds towards zero when it has to return integers, so give it floats. At the
    # border it repeats pixels; the mask, which is -1 outside, says where that is to be black.
    crop = _resample(tf.cast(image, "float32"), affine, crop_size, "BILINEAR", "NEAREST", 0.0)
    labels = _resample(mask[..., None], affine, crop_size, "NEAREST", "CONSTANT", -1.0)
    inside = labels >= 0
    # Repeated, which is faster than what broadcasting does.
    of_channels = tf.repeat(inside, 3, axis=-1)
    crop = tf.where(of_channels, tf.cast(tf.round(crop), "uint8"), tf.zeros((), "uint8"))
    return crop, tf.where(inside, labels, outside)[..., 0]


def resize_long_side(image, mask, length):
    """Resizes an image, by averages where it shrinks, and its mask, by nearest neighbours.

    Args:
        image: `uint8` tensor of shape `(height, width, 3)`.
        mask: `int32` tensor of shape `(height, width)`.
        length: Integer, what the longer side becomes. The other keeps its proportion.

    Returns:
        The image, `uint8`, and the mask, `int32`.
    """
    size = tf.cast(tf.shape(mask), "float32")
    size = tf.cast(tf.maximum(tf.round(size * (length / tf.reduce_max(size))), 1.0), "int32")
    resized = tf.image.resize(image, size, antialias=True)
    labels = tf.image.resize(mask[..., None], size, method="nearest")
    return tf.cast(tf.round(resized), "uint8"), labels[..., 0]


def decode_image(path):
    """Reads a JPEG, PNG or BMP as a `uint8` tensor of shape `(height, width, 3)`.

    Greys become three equal channels, and an alpha channel is left out. The palette of a PNG is
    understood, that of a BMP is not; `training.check_data` finds such files.
    """
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def decode_mask(path):
    """Reads the class ids of a mask as an `int32` tensor of shape `(height, width)`.

    Ids are the numbers that the file stores, as in `training.datasets.folder.read_mask`, which
    isn't called here on purpose: with Python in an endless pipeline, a process that ends waits for
    a thread that waits for the interpreter, now and then for ever.
    """
    png = tf.io.read_file(path)
    depth, colour = tf.unstack(tf.ensure_shape(_bytes(png, 24, 2), (2,)))
    tf.debugging.Assert(
        tf.reduce_any(colour == (_GREY, _PALETTE)),
        ["A mask must have one channel, the class id of each pixel, or a palette.", path],
    )
    # A palette would be decoded to its colours. Declared to be grey, and without the chunks up to
    # the pixels, the palette among them, the same file is decoded to the indices.
    checksum = tf.gather(
        _ALL_BYTES, tf.bitwise.bitwise_xor(_bytes(png, 29, 4), tuple(_PALETTE_TO_GREY))
    )
    grey = [tf.strings.substr(png, 0, 25), b"\0", tf.strings.substr(png, 26, 3)]
    header = tf.where(
        colour == _PALETTE,
        tf.strings.join([*grey, tf.strings.reduce_join(checksum)]),
        tf.strings.substr(png, 0, 33),
    )
    chunks, pixels = tf.unstack(tf.strings.split(png, "IDAT", maxsplit=1), num=2)
    length = tf.strings.substr(chunks, -4, 4)
    shades = tf.io.decode_png(
        tf.strings.join([header, length, "IDAT", pixels]), channels=1, dtype="uint16"
    )
    # Shades range from 0 to 65535, however many bits the file stores: undo that.
    return tf.cast(shades[..., 0], "int32") // (65535 // (2**depth - 1))


def _one_of(void):
    return void if isinstance(void, int) else void[0]


def _read(image_path, mask_path):
    image, mask = decode_image(image_path), decode_mask(mask_path)
    image_size, mask_size = tf.shape(image)[:2], tf.shape(mask)
    tf.debugging.Assert(
        tf.reduce_all(image_size == mask_size),
        ["An image and its mask differ in size.", image_path, image_size, mask_path, mask_size],
    )
    return image, mask


def _bytes(string, start, length):
    return tf.cast(tf.io.decode_raw(tf.strings.substr(string, start, length), "uint8"), "int32")


def _paths(split):
    return tuple(
        tf.constant([str(path) for path in paths])
        for paths in (split.image_paths, split.mask_paths)
    )


def _resample(pixels, affine, size, interpolation, fill_mode, fill_value):
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[None],
        transforms=tf.stack(affine)[None],
        output_shape=size,
        fill_value=fill_value,
        interpolation=interpolation,
        fill_mode=fill_mode,
    )[0]
