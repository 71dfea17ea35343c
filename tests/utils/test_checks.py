"""Checks of arguments."""

import keras
import numpy as np
import pytest

from keras_encnet.utils.checks import Range, check_count, check_one_size, check_stages, is_count


@pytest.mark.parametrize("value", [1, 2, np.int64(3), np.uint8(4)])
def test_integers_are_counts(value):
    assert is_count(value, least=1)
    check_count("value", value)


@pytest.mark.parametrize(
    "value", [0, -1, 1.5, 2.0, np.float32(4), True, None, "3", (4, 4), np.nan, np.inf]
)
def test_invalid_counts_are_rejected(value):
    assert not is_count(value, least=1)
    with pytest.raises(ValueError, match="`value` must be an integer of at least 1. Received: "):
        check_count("value", value)


def test_count_has_an_upper_limit():
    check_count("value", 4, most=4)
    with pytest.raises(ValueError, match="an integer from 1 to 4. Received: value=5"):
        check_count("value", 5, most=4)


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "text"),
    [
        (Range(1), (1, 1.5, np.float32(2)), (0.5, float("nan"), "2", None), "at least 1"),
        (Range(0, open=True), (1e-9, 3), (0, -1), "above 0"),
        (Range(0, 1), (0, 0.5, 1), (-0.1, 1.1), "from 0 to 1"),
        (Range(0, 1, open=True), (0.5,), (0, 1), "between 0 and 1, exclusive"),
        (Range(), (-1e9, 0, 1e9), ("0",), ""),
    ],
)
def test_range_contains_numbers_within_its_bounds(allowed, inside, outside, text):
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)
    assert str(allowed) == text


def test_missing_stages_raise():
    check_stages({"stage3": None, "stage4": None})
    with pytest.raises(ValueError, match="requires stage3, stage4. Received: output="):
        check_stages({"stage4": None})


def test_stages_of_different_sizes_raise():
    images = keras.Input((None, None, 3))
    stages = {"stage2": keras.layers.AveragePooling2D(2)(images), "stage3": images}
    check_one_size(images, {"stage3": stages["stage3"]})
    with pytest.raises(ValueError, match="output_stride=8.*'stage2': .32, 32., 'stage3': .64, 64."):
        check_one_size(images, stages)
