"""Averages over windows, with numbers computed by hand."""

import numpy as np
import pytest

from keras_encnet.inference import windows


def joined(blocks):
    """Rows from a generator that may reuse their memory."""
    return np.concatenate([rows.copy() for rows in blocks])


def test_overlaps_are_averaged_in_batches(rng):
    image = rng.normal(size=(8, 11, 3)).astype("float32")
    batches = []

    def run(batch):
        batches.append(len(batch))
        return (
            batch + 10.0 * np.arange(sum(batches) - len(batch), sum(batches))[:, None, None, None]
        )

    average = joined(windows.average_over_windows(run, image, ([0, 4], [0, 4, 7]), (4, 4), 2))
    assert batches == [2, 1, 2, 1]
    # Column 7 is covered by two windows, the second and the third of a row.
    extra = np.repeat([[0.0, 10.0, 15.0, 20.0]], 8, 0).repeat([4, 3, 1, 3], 1)
    extra[4:] += 30.0
    np.testing.assert_allclose(average, image + extra[..., None], rtol=1e-6)
    region = windows.average_over_windows(
        lambda batch: batch, image, ([0, 4], [0, 4, 7]), (4, 4), batch_size=4, region=(7, 9)
    )
    np.testing.assert_allclose(joined(region), image[:7, :9], rtol=1e-6)


def test_yielded_rows_of_overlapping_windows_are_complete(rng):
    image = rng.normal(size=(11, 8, 3)).astype("float32")
    blocks = windows.average_over_windows(lambda x: x, image, ([0, 2, 5, 7], [0, 4]), (4, 4), 2)
    heights, end = [], 0
    for rows in blocks:
        heights.append(len(rows))
        np.testing.assert_allclose(rows, image[end : end + len(rows)], rtol=1e-6)
        end += len(rows)
    assert heights == [2, 3, 2, 4]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(9, 7), (23, 31), (4, 40), (1, 1), (17, 2)])
def test_rows_are_resized_like_whole_images(size, align_corners, rng, monkeypatch):
    monkeypatch.setattr(windows, "STRIP_VALUES", 5 * 40 * 3)  # several strips
    image = rng.normal(size=(9, 7, 3)).astype("float32")
    expected = windows.resize(image, size, align_corners)
    for cuts in ([], [1], [1, 2, 3, 8], [5]):
        blocks = np.split(image, cuts)
        resized = joined(windows.resize_rows(blocks, 9, size, align_corners))
        np.testing.assert_allclose(resized, expected, rtol=1e-5, atol=1e-6)
