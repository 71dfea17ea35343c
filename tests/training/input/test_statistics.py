"""Mean and standard deviation are those of all pixels together."""

import numpy as np
import pytest

from training.input.statistics import describe_statistics, merged, moments_of


@pytest.mark.parametrize("offset", [0, 1e6])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_moments_of_images_are_those_of_all_pixels(rng, dtype, offset):
    sizes = [(3, 4), (1, 1), (20, 7)]
    images = [rng.integers(0, 256, (*size, 5)).astype(dtype) for size in sizes]
    images = [x + np.float32(offset) if dtype == "float32" else x for x in images]
    pixels = np.concatenate([x.reshape(-1, 5) for x in images]).astype("float64")
    found = merged(map(moments_of, images))
    assert found.pixels == len(pixels)
    np.testing.assert_allclose(found.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(0), rtol=1e-9)


def test_a_constant_channel_has_no_deviation():
    images = [np.full((9, 7, 2), 255, "uint8"), np.full((3, 4, 2), 255, "uint8")]
    assert merged(map(moments_of, images)).std.tolist() == [0, 0]


def test_statistics_are_described_as_options():
    moments = moments_of(np.array([[[0, 0.1234567891]], [[2, 0.1234567891]]], "float32"))
    assert describe_statistics(moments, 2).endswith("--mean 1 0.123457 --std 1 0")
    assert describe_statistics(moments, 1).endswith("--mean 1 --std 1")


def test_no_image_has_no_moments():
    assert merged([]) is None
