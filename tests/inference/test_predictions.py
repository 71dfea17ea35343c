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


def test_classes_are_sorted_by_share_of_pixels(logits):
    assert decode_predictions(logits, class_names=NAMES) == [
        [("tree", 0.625), ("sky", 0.25), ("car", 0.125)],
        # Equal shares stay in the order of the classes.
        [("sky", 0.5), ("road", 0.5)],
    ]


def test_top_limits_the_number_of_classes(logits):
    decoded = decode_predictions(logits, top=1, class_names=NAMES)
    assert decoded == [[("tree", 0.625)], [("sky", 0.5)]]


@pytest.mark.parametrize("top", [0, -1, 1.5])
def test_invalid_top_raises(logits, top):
    with pytest.raises(ValueError, match=f"Received: top={top}"):
        decode_predictions(logits, top=top)


def test_default_names_are_class_ids(logits):
    assert decode_predictions(logits)[1] == [("0", 0.5), ("2", 0.5)]


def test_tensors_are_accepted(logits):
    assert decode_predictions(tf.constant(logits)) == decode_predictions(logits)


@pytest.mark.parametrize("shape", [(2, 4, 4), (4, 4), (1, 1, 2, 4, 4)])
def test_logits_of_another_rank_raise(shape):
    with pytest.raises(ValueError, match="Received: logits.shape="):
        decode_predictions(np.zeros(shape))


def test_wrong_number_of_names_raises(logits):
    with pytest.raises(ValueError, match="each of the 4 classes. Received: 3 names"):
        decode_predictions(logits, class_names=NAMES[:3])
