"""Positions of windows, with numbers computed by hand."""

import pytest

from keras_encnet.utils import windows


@pytest.mark.parametrize(
    ("side", "starts", "shifted"),
    [
        (60, [0], [0]),
        (96, [0], [0]),
        (97, [0, 64], [0, 1]),
        (160, [0, 64], [0, 64]),
        (161, [0, 64, 128], [0, 64, 65]),
    ],
)
def test_windows_cover_a_side(side, starts, shifted):
    assert windows.window_starts(side, 96, 64) == starts
    assert windows.shifted_starts(side, 96, 64) == shifted


def test_stretches_are_covered_by_the_same_windows():
    assert list(windows.stretches([0, 3, 5], 4)) == [
        (0, 3, [0]),
        (3, 4, [0, 3]),
        (4, 5, [3]),
        (5, 7, [3, 5]),
        (7, 9, [5]),
    ]
    assert list(windows.stretches([0], 4)) == [(0, 4, [0])]
