import itertools
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.training.folders import write_split
from training.input.augmentation import Augmentation
from training.input.image_files import decode_mask
from training.input.segmentation_batches import (
    samples_per_pass,
    train_batches,
    whole_images,
)

NONE = Augmentation(flip=False, scale=(1.0, 1.0), rotation=0.0)


def random_sample(rng, height, width):
    image = rng.integers(1, 256, (height, width, 3), "uint8")
    return image, rng.integers(0, 3, (height, width), "uint8")


def numbered_split(root, count):
    """Writes a split in which all pixels of image and mask `i` have the value `i`."""
    gray = [np.full((8, 8), i, "uint8") for i in range(count)]
    return write_split(root, [(np.stack([g] * 3, -1), g) for g in gray], class_names=max(count, 2))


def take(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in itertools.islice(dataset, count)]


def test_identity_changes_no_pixel(tmp_path, rng):
    samples = [random_sample(rng, 5, 7) for _ in range(2)]
    split = write_split(tmp_path, samples)
    batches = train_batches(split, crop_size=(5, 7), batch_size=2, seed=0, augmentation=NONE)
    ((images, masks),) = take(batches, 1)
    order = [0, 1] if np.array_equal(masks[0], samples[0][1]) else [1, 0]
    for image, mask, i in zip(images, masks, order, strict=True):
        np.testing.assert_array_equal(image, samples[i][0])
        np.testing.assert_array_equal(mask, samples[i][1])


def test_images_are_resized_to_the_working_size_before_cropping(tmp_path, rng):
    split = write_split(tmp_path, [random_sample(rng, 8, 16)])
    augmentation = Augmentation(flip=False, scale=(1.0, 1.0), rotation=0.0, working_size=32)
    options = {"crop_size": (16, 32), "batch_size": 1, "seed": 0}
    ((_, masks),) = take(train_batches(split, augmentation=augmentation, **options), 1)
    mask = decode_mask(str(split.mask_paths[0])).numpy()
    np.testing.assert_array_equal(masks[0], mask.repeat(2, axis=0).repeat(2, axis=1))


def test_images_of_one_pixel_can_be_cropped(tmp_path):
    split = write_split(tmp_path, [(np.full((1, 1, 3), 9, "uint8"), np.ones((1, 1), "uint8"))])
    batches = train_batches(split, crop_size=4, batch_size=1, seed=0)
    for images, masks in take(batches, 8):
        assert images.shape == (1, 4, 4, 3)
        assert set(np.unique(masks)) <= {1, 255}
        assert (masks == 1).sum() in (1, 4)
    ((image, mask),) = take(whole_images(split), 2)
    assert image.shape == (1, 1, 1, 3)
    assert mask.tolist() == [[[1]]]


def test_batches_depend_only_on_the_seed(tmp_path, rng):
    split = write_split(tmp_path, [random_sample(rng, 12, 16) for _ in range(5)])

    def batches(seed):
        return take(train_batches(split, crop_size=10, batch_size=2, seed=seed), 4)

    same, again, other = batches(3), batches(3), batches(4)
    for (images, masks), (images2, masks2), (images3, _) in zip(same, again, other, strict=True):
        np.testing.assert_array_equal(images, images2)
        np.testing.assert_array_equal(masks, masks2)
        assert not np.array_equal(images, images3)


@pytest.mark.parametrize("first_step", [1, 3, 7])
def test_first_step_skips_the_batches_before_it(tmp_path, rng, first_step):
    split = write_split(tmp_path, [random_sample(rng, 12, 16) for _ in range(7)])
    options = {"crop_size": (10, 8), "batch_size": 3, "seed": 1}
    whole = take(train_batches(split, **options), 10)
    rest = take(train_batches(split, first_step=first_step, **options), 10 - first_step)
    for (images, masks), (images2, masks2) in zip(whole[first_step:], rest, strict=True):
        np.testing.assert_array_equal(images, images2)
        np.testing.assert_array_equal(masks, masks2)


def test_epochs_have_each_image_at_most_once_in_different_orders(tmp_path):
    split = numbered_split(tmp_path, 7)
    batches = train_batches(split, crop_size=8, batch_size=2, seed=0, augmentation=NONE)
    seen = [int(mask[0, 0]) for _, masks in take(batches, 3 * 20) for mask in masks]
    epochs = [tuple(seen[i : i + 6]) for i in range(0, len(seen), 6)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert len(set(epochs)) > 15
    # The image that an epoch leaves out is random, too.
    assert {(set(range(7)) - set(epoch)).pop() for epoch in epochs} == set(range(7))


def test_augmentation_differs_between_epochs(tmp_path, rng):
    split = write_split(tmp_path, [random_sample(rng, 12, 16)])
    batches = take(train_batches(split, crop_size=10, batch_size=1, seed=0), 5)
    assert len({images.tobytes() for images, _ in batches}) == 5


def test_batches_have_static_shapes_and_raw_images(tmp_path, rng):
    sample = random_sample(rng, 5, 7)
    split = write_split(tmp_path, [sample])
    batches = train_batches(split, crop_size=(5, 7), batch_size=1, seed=0, augmentation=NONE)
    assert batches.element_spec == (
        tf.TensorSpec((1, 5, 7, 3), tf.uint8),
        tf.TensorSpec((1, 5, 7), tf.int32),
    )
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    ((images, _),) = take(batches, 1)
    np.testing.assert_array_equal(images[0], sample[0])


def test_ignored_labels_are_kept_and_the_first_one_pads(tmp_path):
    mask = np.array([[0, 200], [201, 2]], "uint8")
    split = write_split(tmp_path, [(np.full((2, 2, 3), 9, "uint8"), mask)])
    batches = train_batches(
        split,
        crop_size=4,
        batch_size=1,
        seed=0,
        augmentation=NONE,
        ignore_class=(200, 201),
    )
    ((images, masks),) = take(batches, 1)
    labels, counts = np.unique(masks, return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == {0: 1, 2: 1, 200: 13, 201: 1}
    assert (images == 0).all(-1).sum() == 12


def test_full_images_are_read_once_in_order(tmp_path, rng):
    samples = [random_sample(rng, *size) for size in ((3, 5), (8, 4), (1, 2))]
    dataset = whole_images(write_split(tmp_path, samples))
    assert dataset.element_spec == (
        tf.TensorSpec((1, None, None, 3), tf.uint8),
        tf.TensorSpec((1, None, None), tf.int32),
    )
    assert dataset.cardinality() == 3
    for (images, masks), (image, mask) in zip(take(dataset, 9), samples, strict=True):
        np.testing.assert_array_equal(images, image[None])
        np.testing.assert_array_equal(masks, mask[None])


def test_masks_of_another_size_raise_with_the_file_name(tmp_path, rng):
    image, _ = random_sample(rng, 4, 6)
    split = write_split(tmp_path, [(image, np.zeros((6, 4), "uint8"))])
    message = rf"(?s)must have the same size.*{re.escape(str(split.mask_paths[0]))}.*6 4"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        take(train_batches(split, crop_size=4, batch_size=1, seed=0), 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        take(whole_images(split), 1)


def test_16_bit_ids_are_kept(tmp_path, rng):
    mask = rng.integers(0, 65536, (6, 7), "uint16")
    split = write_split(tmp_path, [(np.zeros((6, 7, 3), "uint8"), mask)])
    ((_, masks),) = take(whole_images(split), 1)
    np.testing.assert_array_equal(masks[0], mask)
    batches = train_batches(
        split,
        crop_size=(6, 7),
        batch_size=1,
        seed=0,
        augmentation=NONE,
        ignore_class=65535,
    )
    ((_, masks),) = take(batches, 1)
    np.testing.assert_array_equal(masks[0], mask)


def test_images_are_shuffled_again_after_their_full_batches():
    assert [samples_per_pass(range(7), n) for n in (1, 2, 3, 7, 8)] == [7, 6, 6, 7, 7]


def test_split_smaller_than_a_batch_has_every_image_equally_often(tmp_path):
    split = numbered_split(tmp_path, 3)
    batches = train_batches(split, crop_size=8, batch_size=8, seed=0, augmentation=NONE)
    seen = [int(mask[0, 0]) for _, masks in take(batches, 3) for mask in masks]
    passes = {tuple(seen[i : i + 3]) for i in range(0, len(seen), 3)}
    assert all(sorted(images) == [0, 1, 2] for images in passes)
    assert len(passes) > 1
    from_second = train_batches(
        split, crop_size=8, batch_size=8, seed=0, augmentation=NONE, first_step=1
    )
    ((_, masks),) = take(from_second, 1)
    assert masks[:, 0, 0].tolist() == seen[8:16]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_size", 0),
        ("crop_size", (4, -1)),
        ("crop_size", (4, 4, 3)),
        ("batch_size", 0),
        ("first_step", -1),
    ],
)
def test_arguments_out_of_range_raise(tmp_path, name, value):
    split = numbered_split(tmp_path, 2)
    arguments = {"crop_size": 4, "batch_size": 1, "seed": 0, name: value}
    with pytest.raises(ValueError, match=f"Received: {name}="):
        train_batches(split, **arguments)
