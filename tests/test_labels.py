"""Palettes."""

import numpy as np
import pytest

from keras_encnet.labels import ADE20K, CITYSCAPES, default_palette
from keras_encnet.utils.colors import cielab, color_difference


def least_difference(colors):
    lab = cielab(colors)
    differences = color_difference(lab[:, None], lab)
    return differences[~np.eye(len(lab), dtype=bool)].min()


def test_fewer_classes_have_the_first_colors():
    np.testing.assert_array_equal(default_palette(300)[:21], default_palette(21))
    np.testing.assert_array_equal(default_palette(300)[256:], default_palette(44))


@pytest.mark.parametrize(("most", "difference"), [(30, 16), (150, 8), (256, 6)])
def test_default_colors_differ_from_each_other_and_from_black_gray_and_white(most, difference):
    grays = [[0] * 3, [128] * 3, [255] * 3]
    assert least_difference(np.vstack([default_palette(most), grays])) >= difference


def test_every_default_color_is_neither_dark_nor_pale():
    lightness = cielab(default_palette(256))[:, 0]
    assert lightness.min() > 35
    assert lightness.max() < 85


def test_default_colors_are_easier_to_tell_apart_than_published_ones():
    for published in (CITYSCAPES, ADE20K):
        colors = np.array(list(published.values()))
        assert least_difference(default_palette(len(colors))) > least_difference(colors) + 5


def test_colors_of_cityscapes_are_distinct():
    assert len(set(CITYSCAPES.values())) == len(CITYSCAPES)
