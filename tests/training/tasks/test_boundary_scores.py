"""Boundary IoU is the set formula of the paper, class by class and pixel by pixel."""

import numpy as np
import pytest

from training.tasks.boundary_scores import BoundaryIoU

CLASSES = 4


def boundary(mask, distance):
    """The pixels of a mask from which another pixel, or the outside, is within the distance."""
    padded = np.pad(mask, distance)
    size = 2 * distance + 1
    return np.array(
        [
            [mask[i, j] and not padded[i : i + size, j : j + size].all() for j in range(width)]
            for i, width in enumerate([mask.shape[1]] * len(mask))
        ]
    )


def expected_scores(pairs, ignore_class, ratio):
    intersection, union = np.zeros((2, CLASSES))
    for truth, predicted in pairs:
        distance = max(1, round(ratio * np.hypot(*truth.shape)))
        labeled = ~np.isin(truth, ignore_class)
        for c in range(CLASSES):
            first, second = (
                boundary((mask == c) & labeled, distance) for mask in (truth, predicted)
            )
            intersection[c] += np.sum(first & second)
            union[c] += np.sum(first | second)
    return np.where(union, intersection / np.maximum(union, 1), np.nan)


@pytest.mark.parametrize("ratio", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("ignore_class", [(255,), (-1, 254)])
def test_boundary_iou_follows_the_paper(rng, ratio, ignore_class):
    score = BoundaryIoU(CLASSES, ignore_class, ratio)
    pairs = []
    for height, width in ((30, 41), (17, 9), (1, 12)):
        truth = rng.integers(0, 3, (-(-height // 8), -(-width // 8))).repeat(8, 0).repeat(8, 1)
        truth = truth[:height, :width]
        predicted = np.roll(truth, 2, axis=1)
        truth[: height // 3, : width // 4] = ignore_class[-1]
        score.update(truth, predicted)
        pairs.append((truth, predicted))
    expected = expected_scores(pairs, ignore_class, ratio)
    np.testing.assert_allclose(score.per_class(), expected)
    assert np.isnan(expected[3])
    assert np.nanmax(expected) < 1


def test_wide_boundary_is_the_iou_and_narrow_one_sees_the_contour_only():
    truth, predicted = np.zeros((2, 40, 40), int)
    truth[10:30, 10:30] = 1
    predicted[11:31, 10:30] = 1
    scores = []
    for ratio in (0.02, 1.0):
        score = BoundaryIoU(2, (255,), ratio)
        score.update(truth, predicted)
        scores.append(score.per_class()[1])
    assert scores[0] < scores[1] == pytest.approx(19 / 21)


def test_prediction_on_ignored_pixels_does_not_matter(rng):
    truth, predicted = rng.integers(0, CLASSES, (2, 20, 20))
    truth[5:12] = 255
    scores = []
    for _ in range(2):
        score = BoundaryIoU(CLASSES, (255,), 0.05)
        score.update(truth, predicted)
        scores.append(score.per_class())
        predicted[truth == 255] = 2
    np.testing.assert_array_equal(*scores)
