"""Sizes of scaled images and averages over windows, with numbers computed by hand."""

import numpy as np

from keras_encnet.inference import windows


def test_long_side_size_rounds_the_other_side():
    assert windows.long_side_size((480, 640), 390) == (293, 390)  # 292.5
    assert windows.long_side_size((640, 481), 390) == (390, 293)  # 293.1
    assert windows.long_side_size((7, 7), 5) == (5, 5)
    assert windows.long_side_size((1, 1000), 260) == (1, 260)


def test_fitted_size_is_within_bounds_for_both_orientations():
    assert windows.fitted_size((512, 683), (2048, 512)) == (512, 683)
    assert windows.fitted_size((683, 512), (2048, 512)) == (683, 512)
    assert windows.fitted_size((100, 800), (2048, 512)) == (256, 2048)
    assert windows.fitted_size((100, 150), (60, 60)) == (40, 60)
    assert windows.fitted_size((1, 1000), (100, 100)) == (1, 100)


def test_overlaps_are_averaged_in_batches(rng):
    image = rng.normal(size=(8, 11, 3)).astype("float32")
    batches = []

    def run(batch):
        batches.append(len(batch))
        return (
            batch + 10.0 * np.arange(sum(batches) - len(batch), sum(batches))[:, None, None, None]
        )

    average = windows.average_over_windows(run, image, ([0, 4], [0, 4, 7]), (4, 4), batch_size=4)
    assert batches == [4, 2]
    # Column 7 is covered by two windows, the second and the third of a row.
    extra = np.repeat([[0.0, 10.0, 15.0, 20.0]], 8, 0).repeat([4, 3, 1, 3], 1)
    extra[4:] += 30.0
    np.testing.assert_allclose(average, image + extra[..., None], rtol=1e-6)
    region = windows.average_over_windows(
        lambda batch: batch, image, ([0, 4], [0, 4, 7]), (4, 4), batch_size=4, region=(7, 9)
    )
    np.testing.assert_allclose(region, image[:7, :9], rtol=1e-6)
