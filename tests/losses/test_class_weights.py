"""Class weights are the formulas of scikit-learn and of Eigen and Fergus."""

import numpy as np
import pytest

from keras_encnet.losses import balanced_class_weights, median_frequency_class_weights


@pytest.fixture
def counts(rng):
    """Labels of images; class 3 has no pixel, class 4 is in one image only."""
    images = [rng.integers(0, 3, size) for size in (50, 80, 30)]
    images[1][:7] = 4
    pixels = np.array([[np.sum(image == c) for c in range(5)] for image in images])
    totals = np.where(pixels > 0, pixels.sum(1, keepdims=True), 0)
    return images, pixels.sum(0), totals.sum(0)


def test_balanced_weights_give_every_class_the_same_total(counts):
    images, pixels, _ = counts
    weights = balanced_class_weights(pixels)
    labels = np.concatenate(images)
    np.testing.assert_allclose(weights * pixels, np.where(pixels, len(labels) / 4, 0))
    assert weights[labels].sum() == pytest.approx(len(labels))
    assert weights[3] == 0


def test_median_frequency_is_relative_to_the_images_that_show_a_class(counts):
    images, pixels, totals = counts
    frequencies = {}
    for c in (0, 1, 2, 4):
        shown = np.concatenate([image for image in images if c in image])
        frequencies[c] = np.mean(shown == c)
    weights = median_frequency_class_weights(pixels, totals)
    for c, frequency in frequencies.items():
        assert weights[c] == pytest.approx(np.median(list(frequencies.values())) / frequency)
    assert weights[3] == 0


@pytest.mark.parametrize("counts", [[0, 0], [1, -1], [[1, 2]], []])
def test_wrong_counts_raise_an_error(counts):
    with pytest.raises(ValueError, match="Received: pixel_counts="):
        balanced_class_weights(counts)
    with pytest.raises(ValueError, match="Received: pixel_counts="):
        median_frequency_class_weights(counts, counts)


def test_images_have_at_least_the_pixels_of_their_classes():
    with pytest.raises(ValueError, match=r"at least `pixel_counts`.*image_pixel_counts=\[1.0, 1"):
        median_frequency_class_weights([1, 2], [1, 1])
