"""decode_predictions says in words what covers an image."""

import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import decode_predictions

NAMES = ["sky", "tree", "road", "car"]


@pytest.fixture
def logits():
    """Two images of eight pixels: 5 tree, 2 sky and 1 car; 4 road and 4 sky."""
    labels = np.array([[1, 1, 1, 1, 1, 0, 0, 3], [2, 2, 2, 2, 0, 0, 0, 0]]).reshape(2, 2, 4)
    return 3.0 * np.eye(4)[labels] - 1.0


def test_classes_are_named_by_the_share_of_pixels_they_cover(logits):
    assert decode_predictions(logits, class_names=NAMES) == [
        [("tree", 0.625), ("sky", 0.25), ("car", 0.125)],
        # Equal shares in the order of the classes.
        [("sky", 0.5), ("road", 0.5)],
    ]


def test_no_more_than_the_top_are_named(logits):
    decoded = decode_predictions(logits, top=1, class_names=NAMES)
    assert decoded == [[("tree", 0.625)], [("sky", 0.5)]]


@pytest.mark.parametrize("top", [0, -1, 1.5])
def test_another_top_is_refused(logits, top):
    with pytest.raises(ValueError, match=f"Received: top={top}"):
        decode_predictions(logits, top=top)


def test_names_default_to_numbers(logits):
    assert decode_predictions(logits)[1] == [("0", 0.5), ("2", 0.5)]


def test_tensors_are_taken(logits):
    assert decode_predictions(tf.constant(logits)) == decode_predictions(logits)


@pytest.mark.parametrize("shape", [(2, 4, 4), (4, 4), (1, 1, 2, 4, 4)])
def test_logits_of_other_ranks_are_refused(shape):
    with pytest.raises(ValueError, match="Received: logits.shape="):
        decode_predictions(np.zeros(shape))


def test_names_must_be_as_many_as_classes(logits):
    with pytest.raises(ValueError, match="each of 4 classes. Received: 3 names"):
        decode_predictions(logits, class_names=NAMES[:3])
