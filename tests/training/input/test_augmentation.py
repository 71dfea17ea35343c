import itertools
import re

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from PIL import Image

from training.input.augmentation import Augmentation, augment, resize_pair

NONE = Augmentation(flip=False, scale=(1.0, 1.0), rotation=0.0)


def random_sample(rng, height, width):
    image = rng.integers(1, 256, (height, width, 3), "uint8")
    return image, rng.integers(0, 3, (height, width), "uint8")


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


# XLA compiles for 16 pixels here; 17 pixels need the next power of two.
@pytest.mark.parametrize("size", [(5, 7), (4, 4), (1, 17), (17, 1), (1, 1)])
def test_identity_changes_no_pixel(rng, size):
    image, mask = random_sample(rng, *size)
    for crop, labels in augmented(image, mask, NONE, size, seeds=5):
        np.testing.assert_array_equal(crop, image)
        np.testing.assert_array_equal(labels, mask)


def test_interpolation_agrees_with_scipy(rng):
    # Red and green encode the position, from which the affine map is recovered.
    y, x = np.mgrid[:200, :250]
    texture = scipy.ndimage.zoom(rng.uniform(0, 255, (21, 26)), 10, order=1)[:200, :250]
    image = np.stack([x, y, texture], -1).astype("uint8")
    mask = rng.integers(0, 200, (20, 25)).repeat(10, 0).repeat(10, 1)
    row_column = np.stack([*np.mgrid[:150, :160], np.ones((150, 160))], -1)
    for crop, labels in augmented(image, mask, Augmentation(), (150, 160), seeds=20):
        # The repeated border would distort the fit.
        known = (labels != 255) & np.all((crop[..., :2] > 1) & (crop[..., :2] < (248, 198)), -1)
        affine = np.linalg.lstsq(row_column[known], crop[known][:, :2].astype(float))[0]
        x, y = np.moveaxis(row_column @ affine, -1, 0)
        outside = np.maximum(np.abs(x - 124.5) - 125, np.abs(y - 99.5) - 100)
        assert (labels[outside < -0.1] != 255).all()
        assert (labels[outside > 0.1] == 255).all()
        assert (crop[outside > 0.1] == 0).all()
        options = {"mode": "nearest", "coordinates": [y, x]}
        smooth = scipy.ndimage.map_coordinates(image[..., 2].astype(float), order=1, **options)
        assert np.abs(crop[..., 2] - smooth)[outside < -0.1].max() < 2
        # Where the nearest pixel is unambiguous.
        sure = (outside < -0.1) & np.all(np.abs(np.mod([y, x], 1) - 0.5) > 0.1, axis=0)
        nearest = scipy.ndimage.map_coordinates(mask, order=0, **options)
        np.testing.assert_array_equal(labels[sure], nearest[sure])


def test_bilinear_weights_are_exact(rng):
    # Extreme values: no channel may carry into the next.
    image = rng.choice(np.array([0, 1, 254, 255], "uint8"), (15, 20, 3))
    doubling = Augmentation(flip=False, scale=(2, 2), rotation=0)
    ((crop, _),) = augmented(image, np.ones((15, 20)), doubling, (30, 40), seeds=1)

    def weights(length):
        places = (np.arange(2 * length) + 0.5) / 2 - 0.5
        return np.stack([np.interp(places, np.arange(length), one) for one in np.eye(length)], 1)

    exact = np.einsum("yi,xj,ijc->yxc", weights(15), weights(20), image)
    np.testing.assert_array_equal(crop, np.floor(exact + 0.5))


def test_positions_in_very_long_images_are_exact():
    x = np.arange(2**16 - 1)
    image = np.stack([x % 256, x // 256, 0 * x], -1).astype("uint8")[None]
    starts = []
    for crop, labels in augmented(image, x[None], NONE, (1, 64), seeds=20, outside=-1):
        starts.append(labels[0, 0])
        np.testing.assert_array_equal(labels[0], np.arange(64) + starts[-1])
        np.testing.assert_array_equal(crop, image[:, labels[0]])
    assert min(starts) < 10_000
    assert max(starts) > 50_000


def test_crops_may_be_much_wider_than_the_image(rng):
    # Its last column is 2 ** 16 times 1,000 pixels away.
    to_one_pixel = Augmentation(flip=False, scale=(1e-6, 1e-6), rotation=0)
    image, mask = random_sample(rng, 1, 2**16)
    for crop, labels in augmented(image, mask, to_one_pixel, (2, 2000), seeds=3):
        assert (labels != 255).sum() == 1
        assert (crop[labels == 255] == 0).all()


def test_flip_mirrors_image_and_mask_together(rng):
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


def test_crops_are_uniformly_placed_windows_of_larger_images(rng):
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


def test_smaller_images_are_placed_at_random_and_padded(rng):
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


def test_ignored_pixels_keep_their_color(rng):
    image, _ = random_sample(rng, 3, 3)
    ((crop, labels),) = augmented(image, np.full((3, 3), 255), NONE, (3, 3), seeds=1)
    np.testing.assert_array_equal(crop, image)
    assert (labels == 255).all()


def test_image_and_mask_stay_aligned(rng):
    mask = np.kron(rng.integers(0, 3, (4, 5)), np.ones((12, 12), int))
    image = np.stack([50 + 60 * mask] * 3, -1).astype("uint8")
    checked = ignored = 0
    for crop, labels in augmented(image, mask, Augmentation(), (40, 60), seeds=30):
        around = np.stack(
            [np.roll(labels, shift, (0, 1)) for shift in itertools.product((-1, 0, 1), repeat=2)]
        )[:, 1:-1, 1:-1]
        uniform = (around == around[0]).all(0)
        gray, ids = crop[1:-1, 1:-1, 0][uniform], labels[1:-1, 1:-1][uniform]
        np.testing.assert_array_equal(gray, np.where(ids == 255, 0, 50 + 60 * ids))
        # At borders, too: the image ends where the mask does and is not blended with black.
        np.testing.assert_array_equal(crop[..., 0] == 0, labels == 255)
        assert crop[labels < 255].min() >= 50
        checked += uniform.sum()
        ignored += (labels == 255).sum()
    assert checked > 30_000
    assert ignored > 1_000


def test_shrinking_averages_pixels():
    image = np.tile(np.array([[9, 10], [10, 10]], "uint8"), (4, 6))[..., None].repeat(3, -1)
    halving = Augmentation(flip=False, scale=(0.5, 0.5), rotation=0)
    ((crop, labels),) = augmented(image, np.ones((8, 12), int), halving, (4, 6), seeds=1)
    assert (crop == 10).all()
    assert (labels == 1).all()


def test_scales_cover_their_range_and_keep_the_aspect_ratio(rng):
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


def test_rotations_cover_their_range():
    mask = np.zeros((101, 201), int)
    mask[50], mask[:, 100] = 1, 2
    image = np.zeros((101, 201, 3), "uint8")
    turning = Augmentation(flip=False, scale=(1, 1), rotation=10)
    angles = []
    for _, labels in augmented(image, mask, turning, (101, 201), seeds=60):
        y, x = np.nonzero(labels == 1)
        angles.append(np.degrees(np.arctan(np.polyfit(x, y, 1)[0])))
        assert np.hypot(y.mean() - 50, x.mean() - 100) < 1  # about the center
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
def test_images_and_masks_are_resized_like_pillow(rng, size, length, expected):
    image, mask = random_sample(rng, *size)
    resized, labels = resize_pair(image, tf.cast(mask, "int32"), length)
    assert resized.shape == (*expected, 3)
    assert labels.shape == expected
    reference = Image.fromarray(image).resize(expected[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resized.numpy().astype(int), np.asarray(reference), atol=1)
    places = [
        ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(expected, size, strict=True)
    ]
    np.testing.assert_array_equal(labels, mask[np.ix_(*places)])


def test_resize_to_the_same_size_changes_nothing(rng):
    image, mask = random_sample(rng, 6, 9)
    resized, labels = resize_pair(image, tf.cast(mask, "int32"), 9)
    np.testing.assert_array_equal(resized, image)
    np.testing.assert_array_equal(labels, mask)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", (0.0, 1.0)),
        ("scale", (2.0, 0.5)),
        ("rotation", -1.0),
        ("rotation", 181.0),
        ("working_size", 0),
    ],
)
def test_augmentation_checks_its_arguments(name, value):
    with pytest.raises(ValueError, match=re.escape(f"Received: {name}={value}")):
        Augmentation(**{name: value})
