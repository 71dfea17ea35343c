import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from keras_encnet.preprocessing import preprocess_input
from training.datasets.folder import read_split
from training.input_pipeline import (
    Augmentation,
    augment,
    decode_image,
    decode_mask,
    resize_long_side,
    steps_per_epoch,
    train_batches,
    whole_images,
)

NONE = Augmentation(flip=False, scale=(1.0, 1.0), rotation=0.0)


def write_split(root, samples, classes=3):
    """Writes pairs of an image and a mask as a data set, and reads its split `train`."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for i, (image, mask) in enumerate(samples):
        Image.fromarray(image).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "labels" / f"{i}.png")
    (root / "train.txt").write_text("\n".join(str(i) for i in range(len(samples))))
    (root / "classes.txt").write_text("\n".join(f"class {i}" for i in range(classes)))
    return read_split(root, "train")


def random_sample(rng, height, width):
    image = rng.integers(1, 256, (height, width, 3), "uint8")
    return image, rng.integers(0, 3, (height, width), "uint8")


def numbered_split(root, count):
    """A split whose image `i` is of the grey `i`, and so is its mask."""
    grey = [np.full((8, 8), i, "uint8") for i in range(count)]
    return write_split(root, [(np.stack([g] * 3, -1), g) for g in grey], classes=max(count, 2))


def take(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in itertools.islice(dataset, count)]


def augmented(image, mask, augmentation, crop_size, seeds, outside=255):
    """Augments one sample with many seeds; yields crops and masks as arrays."""
    step = tf.function(
        lambda seed: augment(
            image,
            tf.cast(mask, "int32"),
            augmentation,
            crop_size=crop_size,
            seed=seed,
            outside=outside,
        )
    )
    for seed in range(seeds):
        crop, labels = step(tf.constant([0, seed], tf.int64))
        yield crop.numpy(), labels.numpy()


def test_nothing_to_do_leaves_every_bit_as_it_is(tmp_path, rng):
    samples = [random_sample(rng, 5, 7) for _ in range(2)]
    split = write_split(tmp_path, samples)
    batches = train_batches(
        split, crop_size=(5, 7), batch_size=2, mode="torch", seed=0, augmentation=NONE
    )
    ((images, masks),) = take(batches, 1)
    order = [0, 1] if np.array_equal(masks[0], samples[0][1]) else [1, 0]
    for image, mask, i in zip(images, masks, order, strict=True):
        np.testing.assert_allclose(image, preprocess_input(samples[i][0]), atol=1e-6)
        np.testing.assert_array_equal(mask, samples[i][1])
    for crop, labels in augmented(*samples[0], NONE, (5, 7), seeds=5):
        np.testing.assert_array_equal(crop, samples[0][0])
        np.testing.assert_array_equal(labels, samples[0][1])


def test_a_flip_mirrors_image_and_mask_together(rng):
    image, mask = random_sample(rng, 5, 7)
    flips = 0
    for crop, labels in augmented(
        image, mask, Augmentation(scale=(1, 1), rotation=0), (5, 7), seeds=100
    ):
        flipped = not np.array_equal(crop, image)
        step = -1 if flipped else 1
        np.testing.assert_array_equal(crop, image[:, ::step])
        np.testing.assert_array_equal(labels, mask[:, ::step])
        flips += flipped
    assert 30 < flips < 70


def test_a_crop_is_a_window_anywhere_in_a_larger_image(rng):
    image, mask = random_sample(rng, 4, 5)
    seen = set()
    for crop, labels in augmented(image, mask, NONE, (2, 3), seeds=150):
        (place,) = [
            (y, x)
            for y, x in itertools.product(range(3), range(3))
            if np.array_equal(crop, image[y : y + 2, x : x + 3])
        ]
        y, x = place
        np.testing.assert_array_equal(labels, mask[y : y + 2, x : x + 3])
        seen.add(place)
    assert len(seen) == 9


def test_a_smaller_image_lies_anywhere_in_the_crop_amid_black_and_void(rng):
    image, mask = random_sample(rng, 2, 3)
    seen = set()
    for crop, labels in augmented(image, mask, NONE, (4, 4), seeds=100, outside=77):
        y, x = np.argwhere(labels != 77)[0]
        expected = np.full((4, 4), 77)
        expected[y : y + 2, x : x + 3] = mask
        np.testing.assert_array_equal(labels, expected)
        black = np.zeros((4, 4, 3))
        black[y : y + 2, x : x + 3] = image
        np.testing.assert_array_equal(crop, black)
        seen.add((y, x))
    assert len(seen) == 6


def test_void_in_the_mask_does_not_blacken_the_image(rng):
    image, _ = random_sample(rng, 3, 3)
    ((crop, labels),) = augmented(image, np.full((3, 3), 255), NONE, (3, 3), seeds=1)
    np.testing.assert_array_equal(crop, image)
    assert (labels == 255).all()


def test_image_and_mask_stay_aligned_and_outside_is_black_and_void(rng):
    mask = np.kron(rng.integers(0, 3, (4, 5)), np.ones((12, 12), int))
    image = np.stack([50 + 60 * mask] * 3, -1).astype("uint8")
    checked = voids = 0
    for crop, labels in augmented(image, mask, Augmentation(), (40, 60), seeds=30):
        around = np.stack(
            [np.roll(labels, shift, (0, 1)) for shift in itertools.product((-1, 0, 1), repeat=2)]
        )[:, 1:-1, 1:-1]
        uniform = (around == around[0]).all(0)
        grey, ids = crop[1:-1, 1:-1, 0][uniform], labels[1:-1, 1:-1][uniform]
        np.testing.assert_array_equal(grey, np.where(ids == 255, 0, 50 + 60 * ids))
        # Along a border, too: the image ends where the mask does, and isn't blended with black.
        np.testing.assert_array_equal(crop[..., 0] == 0, labels == 255)
        assert crop[labels < 255].min() >= 50
        checked += uniform.sum()
        voids += (labels == 255).sum()
    assert checked > 30_000
    assert voids > 1_000


def test_shrinking_averages_pixels_without_darkening_them():
    image = np.tile(np.array([[9, 10], [10, 10]], "uint8"), (4, 6))[..., None].repeat(3, -1)
    halving = Augmentation(flip=False, scale=(0.5, 0.5), rotation=0)
    ((crop, labels),) = augmented(image, np.ones((8, 12), int), halving, (4, 6), seeds=1)
    assert (crop == 10).all()
    assert (labels == 1).all()


def test_the_scale_spreads_over_its_range_and_keeps_proportions(rng):
    scales = []
    image, mask = random_sample(rng, 40, 60)
    scaling = Augmentation(flip=False, scale=(0.5, 2.0), rotation=0)
    for _, labels in augmented(image, mask, scaling, (130, 130), seeds=60):
        inside = labels != 255
        height, width = inside.any(1).sum(), inside.any(0).sum()
        assert inside.sum() == height * width
        assert abs(height / 40 - width / 60) < 0.02
        scales.append(height / 40)
    assert 0.5 <= min(scales) < 0.65
    assert 1.85 < max(scales) <= 2.0
    assert 1.1 < np.mean(scales) < 1.4


def test_rotations_go_to_either_side_within_their_limit():
    mask = np.zeros((101, 201), int)
    mask[50], mask[:, 100] = 1, 2
    image = np.zeros((101, 201, 3), "uint8")
    turning = Augmentation(flip=False, scale=(1, 1), rotation=10)
    angles = []
    for _, labels in augmented(image, mask, turning, (101, 201), seeds=60):
        y, x = np.nonzero(labels == 1)
        angles.append(np.degrees(np.arctan(np.polyfit(x, y, 1)[0])))
        assert np.hypot(y.mean() - 50, x.mean() - 100) < 1  # about the centre
        y, x = np.nonzero(labels == 2)
        upright = np.degrees(np.arctan(np.polyfit(y, x, 1)[0]))
        assert abs(upright + angles[-1]) < 1  # right angles stay right
    assert -10.3 < min(angles) < -7
    assert 7 < max(angles) < 10.3
    assert abs(np.mean(angles)) < 3


@pytest.mark.parametrize(
    ("size", "length", "expected"),
    [
        ((40, 80), 20, (10, 20)),
        ((80, 40), 20, (20, 10)),
        ((5, 7), 21, (15, 21)),
        ((1, 90), 9, (1, 9)),
    ],
)
def test_the_long_side_becomes_the_base_size_as_pillow_resizes(rng, size, length, expected):
    image, mask = random_sample(rng, *size)
    resized, labels = resize_long_side(image, tf.cast(mask, "int32"), length)
    assert resized.shape == (*expected, 3)
    assert labels.shape == expected
    reference = Image.fromarray(image).resize(expected[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resized.numpy().astype(int), np.asarray(reference), atol=1)
    places = [
        ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(expected, size, strict=True)
    ]
    np.testing.assert_array_equal(labels, mask[np.ix_(*places)])


def test_an_image_at_its_base_size_stays_as_it_is(rng):
    image, mask = random_sample(rng, 6, 9)
    resized, labels = resize_long_side(image, tf.cast(mask, "int32"), 9)
    np.testing.assert_array_equal(resized, image)
    np.testing.assert_array_equal(labels, mask)


def test_crops_are_cut_from_the_image_at_its_base_size(tmp_path, rng):
    split = write_split(tmp_path, [random_sample(rng, 8, 16)])
    augmentation = Augmentation(flip=False, scale=(1.0, 1.0), rotation=0.0, base_size=32)
    options = {"crop_size": (16, 32), "batch_size": 1, "mode": "torch", "seed": 0}
    ((_, masks),) = take(train_batches(split, augmentation=augmentation, **options), 1)
    mask = decode_mask(str(split.mask_paths[0])).numpy()
    np.testing.assert_array_equal(masks[0], mask.repeat(2, axis=0).repeat(2, axis=1))


def test_an_image_of_one_pixel_can_be_cropped(tmp_path):
    split = write_split(tmp_path, [(np.full((1, 1, 3), 9, "uint8"), np.ones((1, 1), "uint8"))])
    batches = train_batches(split, crop_size=4, batch_size=1, mode="tf", seed=0)
    for images, masks in take(batches, 8):
        assert images.shape == (1, 4, 4, 3)
        assert set(np.unique(masks)) <= {1, 255}
        assert (masks == 1).sum() in (1, 4)
    ((image, mask),) = take(whole_images(split, mode="tf"), 2)
    assert image.shape == (1, 1, 1, 3)
    assert mask.tolist() == [[[1]]]


def test_the_seed_alone_decides_what_the_batches_are(tmp_path, rng):
    split = write_split(tmp_path, [random_sample(rng, 12, 16) for _ in range(5)])

    def batches(seed):
        return take(train_batches(split, crop_size=10, batch_size=2, mode="tf", seed=seed), 4)

    same, again, other = batches(3), batches(3), batches(4)
    for (images, masks), (images2, masks2), (images3, _) in zip(same, again, other, strict=True):
        np.testing.assert_array_equal(images, images2)
        np.testing.assert_array_equal(masks, masks2)
        assert not np.array_equal(images, images3)


@pytest.mark.parametrize("first_step", [1, 3, 7])
def test_a_stream_goes_on_where_another_stopped(tmp_path, rng, first_step):
    split = write_split(tmp_path, [random_sample(rng, 12, 16) for _ in range(7)])
    options = {"crop_size": (10, 8), "batch_size": 3, "mode": "torch", "seed": 1}
    whole = take(train_batches(split, **options), 10)
    rest = take(train_batches(split, first_step=first_step, **options), 10 - first_step)
    for (images, masks), (images2, masks2) in zip(whole[first_step:], rest, strict=True):
        np.testing.assert_array_equal(images, images2)
        np.testing.assert_array_equal(masks, masks2)


def test_an_epoch_shows_no_image_twice_and_epochs_differ(tmp_path):
    split = numbered_split(tmp_path, 7)
    batches = train_batches(split, crop_size=8, batch_size=2, mode="tf", seed=0, augmentation=NONE)
    seen = [int(mask[0, 0]) for _, masks in take(batches, 3 * 20) for mask in masks]
    epochs = [tuple(seen[i : i + 6]) for i in range(0, len(seen), 6)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert len(set(epochs)) > 15
    # Which image an epoch leaves out is chance as well.
    assert {(set(range(7)) - set(epoch)).pop() for epoch in epochs} == set(range(7))


def test_one_image_shown_again_is_augmented_anew(tmp_path, rng):
    split = write_split(tmp_path, [random_sample(rng, 12, 16)])
    batches = take(train_batches(split, crop_size=10, batch_size=1, mode="tf", seed=0), 5)
    assert len({images.tobytes() for images, _ in batches}) == 5


@pytest.mark.parametrize("mode", ["torch", "caffe", "tf"])
def test_batches_have_static_shapes_and_are_normalised(tmp_path, rng, mode):
    sample = random_sample(rng, 5, 7)
    split = write_split(tmp_path, [sample])
    batches = train_batches(
        split, crop_size=(5, 7), batch_size=1, mode=mode, seed=0, augmentation=NONE
    )
    assert batches.element_spec == (
        tf.TensorSpec((1, 5, 7, 3), tf.float32),
        tf.TensorSpec((1, 5, 7), tf.int32),
    )
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    ((images, _),) = take(batches, 1)
    np.testing.assert_allclose(images[0], preprocess_input(sample[0], mode=mode), atol=1e-5)


def test_several_void_labels_stay_what_they_are_and_the_first_fills(tmp_path):
    mask = np.array([[0, 200], [201, 2]], "uint8")
    split = write_split(tmp_path, [(np.full((2, 2, 3), 9, "uint8"), mask)])
    batches = train_batches(
        split,
        crop_size=4,
        batch_size=1,
        mode="tf",
        seed=0,
        augmentation=NONE,
        void=(200, 201),
    )
    ((images, masks),) = take(batches, 1)
    labels, counts = np.unique(masks, return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == {0: 1, 2: 1, 200: 13, 201: 1}
    assert (images == -1).all(-1).sum() == 12


def test_whole_images_come_once_in_order_and_at_their_own_size(tmp_path, rng):
    samples = [random_sample(rng, *size) for size in ((3, 5), (8, 4), (1, 2))]
    dataset = whole_images(write_split(tmp_path, samples), mode="caffe")
    assert dataset.element_spec == (
        tf.TensorSpec((1, None, None, 3), tf.float32),
        tf.TensorSpec((1, None, None), tf.int32),
    )
    assert dataset.cardinality() == 3
    for (images, masks), (image, mask) in zip(take(dataset, 9), samples, strict=True):
        np.testing.assert_allclose(images, preprocess_input(image, mode="caffe")[None], atol=1e-5)
        np.testing.assert_array_equal(masks, mask[None])


def test_a_mask_of_another_size_is_an_error_that_names_the_file(tmp_path, rng):
    image, _ = random_sample(rng, 4, 6)
    split = write_split(tmp_path, [(image, np.zeros((6, 4), "uint8"))])
    message = rf"(?s)differ in size.*{re.escape(str(split.mask_paths[0]))}.*6 4"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        take(train_batches(split, crop_size=4, batch_size=1, mode="tf", seed=0), 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        take(whole_images(split, mode="tf"), 1)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *itertools.product(["L", "RGB"], [".jpg", ".png", ".bmp"]),
        *itertools.product(["1", "P", "LA", "RGBA"], [".png"]),
        ("CMYK", ".jpg"),
    ],
)
def test_every_kind_of_image_becomes_three_channels(tmp_path, rng, mode, suffix):
    small = Image.fromarray(rng.integers(0, 256, (3, 4, 3), "uint8"))
    image = small.resize((40, 30), Image.Resampling.BICUBIC).convert(mode)
    path = tmp_path / f"image{suffix}"
    image.save(path)
    decoded = decode_image(str(path))
    assert decoded.dtype == tf.uint8
    with Image.open(path) as reopened:
        expected = np.asarray(reopened.convert("RGB"), int)
    # Two decoders of JPEG need not agree in the last bits.
    np.testing.assert_allclose(decoded.numpy(), expected, atol=4 if suffix == ".jpg" else 0)


def test_an_image_of_16_bits_is_read_by_its_upper_bits(tmp_path):
    pixels = np.array([[0, 255, 256, 65535]], "uint16")
    Image.fromarray(pixels).save(tmp_path / "image.png")
    decoded = decode_image(str(tmp_path / "image.png"))
    assert decoded[0, :, 0].numpy().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_mask_with_a_palette_is_read_by_its_indices(tmp_path, rng, bits):
    ids = rng.integers(0, 2**bits, (13, 17), "uint8")
    mask = Image.fromarray(ids)
    # Every colour twice, so that no way leads from the colours back to the indices.
    mask.putpalette([c // 6 * 7 % 256 for c in range(3 * 2**bits)])
    remark = PngImagePlugin.PngInfo()
    remark.add_text("Comment", "between the header and the palette")
    mask.save(tmp_path / "mask.png", bits=bits, transparency=0, pnginfo=remark, dpi=(72, 72))
    decoded = decode_mask(str(tmp_path / "mask.png"))
    assert decoded.dtype == tf.int32
    np.testing.assert_array_equal(decoded, ids)


def test_ids_above_255_pass_through_the_pipeline(tmp_path, rng):
    mask = rng.integers(0, 65536, (6, 7), "uint16")
    split = write_split(tmp_path, [(np.zeros((6, 7, 3), "uint8"), mask)])
    ((_, masks),) = take(whole_images(split, mode="tf"), 1)
    np.testing.assert_array_equal(masks[0], mask)
    batches = train_batches(
        split, crop_size=(6, 7), batch_size=1, mode="tf", seed=0, augmentation=NONE, void=65535
    )
    ((_, masks),) = take(batches, 1)
    np.testing.assert_array_equal(masks[0], mask)


def test_a_mask_in_colour_is_an_error_that_names_the_file(tmp_path):
    path = str(tmp_path / "mask.png")
    Image.new("RGB", (3, 2)).save(path)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"(?s)one channel.*{path}"):
        decode_mask(path)


@pytest.mark.parametrize("decode", [decode_image, decode_mask])
def test_no_python_runs_within_the_pipeline(decode):
    # If it did, a process that ends while batches are made would wait for ever, now and then.
    graph = tf.function(decode).get_concrete_function(tf.TensorSpec((), tf.string)).graph
    kinds = {node.op for node in graph.as_graph_def().node}
    assert "ReadFile" in kinds
    assert not {kind for kind in kinds if "PyFunc" in kind}


def test_steps_are_whole_batches(tmp_path):
    split = numbered_split(tmp_path, 7)
    assert [steps_per_epoch(split, n) for n in (1, 2, 3, 7)] == [7, 3, 2, 1]
    for batch_size in (0, 8):
        with pytest.raises(ValueError, match=rf"7 images.*Received: batch_size={batch_size}"):
            steps_per_epoch(split, batch_size)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop_size", 0),
        ("crop_size", (4, -1)),
        ("crop_size", (4, 4, 3)),
        ("batch_size", 3),
        ("first_step", -1),
        ("mode", "pytorch"),
    ],
)
def test_arguments_out_of_range_are_errors_at_once(tmp_path, name, value):
    split = numbered_split(tmp_path, 2)
    arguments = {"crop_size": 4, "batch_size": 1, "mode": "tf", "seed": 0, name: value}
    with pytest.raises(ValueError, match=f"Received: {name}="):
        train_batches(split, **arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", (0.0, 1.0)),
        ("scale", (2.0, 0.5)),
        ("rotation", -1.0),
        ("rotation", 181.0),
        ("base_size", 0),
    ],
)
def test_impossible_augmentations_are_errors(name, value):
    with pytest.raises(ValueError, match=re.escape(f"Received: {name}={value}")):
        Augmentation(**{name: value})
