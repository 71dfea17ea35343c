"""Callbacks of the segmentation task."""

import numpy as np
import pytest

from keras_encnet import SegmentationMetrics
from training.tasks.segmentation_callbacks import CheckPixels


def test_validation_that_misses_or_repeats_an_image_raises(rng):
    masks = rng.integers(0, 3, (4, 5, 5))
    metric = SegmentationMetrics(3)
    check = CheckPixels(metric, np.bincount(masks.ravel(), minlength=3))
    metric.update_state(masks, rng.integers(0, 3, masks.shape))
    check.on_test_end()
    metric.update_state(masks[:1], masks[:1])
    with pytest.raises(RuntimeError, match="it must see each image exactly once"):
        check.on_test_end()
