"""Differences of colors."""

import numpy as np
import pytest

from keras_encnet.utils.colors import cielab, color_difference

# Of the test data that Sharma et al. publish with the formula: hues on both sides of 0 and 180
# degrees, grays, blues, and large differences.
PAIRS = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
]


@pytest.mark.parametrize(("first", "second", "expected"), PAIRS)
def test_differences_are_those_of_the_published_pairs(first, second, expected):
    first, second = np.array(first, float), np.array(second, float)
    assert color_difference(first, second) == pytest.approx(expected, abs=5e-5)
    assert color_difference(second, first) == pytest.approx(expected, abs=5e-5)
    assert color_difference(np.stack([first, first]), second).shape == (2,)


def test_grays_have_no_chroma_and_white_has_the_lightness_100():
    lab = cielab(np.array([[0] * 3, [119] * 3, [255] * 3]))
    np.testing.assert_allclose(lab[:, 1:], 0, atol=0.02)
    np.testing.assert_allclose(lab[:, 0], [0, 50, 100], atol=0.1)
