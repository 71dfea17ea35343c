"""The size at which networks see images, and the resizing to it."""

import fractions
import math

import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.utils.sizes import checked_working_size, resize_images, scaled_size


def exact(size, working_size):
    """Rounds the exact sides of the resized image to the nearest integer, halves up."""
    long, short = working_size if isinstance(working_size, tuple) else (working_size, math.inf)
    factor = fractions.Fraction(long, max(size))
    if short < math.inf:
        factor = min(factor, fractions.Fraction(short, min(size)))
    return [max(math.floor(side * factor + fractions.Fraction(1, 2)), 1) for side in size]


@pytest.mark.parametrize("working_size", [1, 7, 320, 520, (2048, 512), (33, 33), (16, 5)])
def test_sides_are_the_exact_ones_rounded(working_size, rng):
    sizes = [(1, 1), (1, 1000), (1000, 1), (480, 640), (481, 640), (3000, 4000)]
    for size in [*sizes, *rng.integers(1, 2000, (30, 2)).tolist()]:
        assert scaled_size(size, working_size).numpy().tolist() == exact(size, working_size)


def test_sizes_computed_by_hand():
    for size, working_size, expected in [
        ((480, 640), 390, (293, 390)),  # 292.5
        ((640, 481), 390, (390, 293)),  # 293.1
        ((100, 800), (2048, 512), (256, 2048)),
        ((683, 512), (2048, 512), (683, 512)),
        ((100, 150), (60, 60), (40, 60)),
        ((30, 20), None, (30, 20)),
    ]:
        assert tuple(scaled_size(size, working_size).numpy()) == expected


@pytest.mark.parametrize("size", [0, -3, 2.5, "320", True, (320,), (0, 5), (1, 2, 3), [4, "5"]])
def test_anything_but_a_size_is_refused(size):
    with pytest.raises(ValueError, match="`size` must be a positive integer.*Received: size="):
        checked_working_size(size, "size")


def test_sizes_have_one_form():
    assert checked_working_size("native") is None
    assert checked_working_size([512, 2048]) == (2048, 512)
    assert type(checked_working_size(np.int64(320))) is int


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64", "bfloat16"])
def test_images_of_the_size_do_not_change(dtype, rng):
    images = tf.cast(rng.integers(0, 256, (1, 9, 7, 3)), dtype)
    resized = resize_images(images, (9, 7))
    assert resized.dtype == "float32"
    np.testing.assert_array_equal(resized, tf.cast(images, "float32"))
