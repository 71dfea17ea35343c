"""Palettes."""

import numpy as np
import pytest

from keras_encnet.labels import CITYSCAPES, default_palette


def test_fewer_classes_have_the_first_colors():
    np.testing.assert_array_equal(default_palette(300)[:21], default_palette(21))


@pytest.mark.parametrize(("classes", "distance"), [(21, 50), (150, 17)])
def test_default_colors_differ_from_each_other_and_from_white(classes, distance):
    colors = np.vstack([default_palette(classes), [255, 255, 255]]).astype(int)
    differences = np.linalg.norm(colors[:, None] - colors, axis=-1)
    assert differences[~np.eye(len(colors), dtype=bool)].min() >= distance


def test_colors_of_cityscapes_are_distinct():
    assert len(set(CITYSCAPES.values())) == len(CITYSCAPES)
