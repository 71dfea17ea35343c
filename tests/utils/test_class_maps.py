import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.layers import BilinearUpsampling
from keras_encnet.utils import class_maps


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("size", "classes"), [((37, 53), 21), ((1, 1), 4), ((700, 1), 5), ((3, 90), 300), ((5, 7), 256)]
)
def test_strips_equal_upsampling_and_arg_max(size, classes, align_corners, rng, monkeypatch):
    monkeypatch.setattr(class_maps, "STRIP_VALUES", 4 * 53 * 21)  # several strips
    logits = rng.normal(size=(2, 5, 7, classes)).astype("float32")
    maps = tf.function(class_maps.class_maps)(logits, *map(tf.constant, size), align_corners)
    upsampled = np.asarray(BilinearUpsampling(align_corners)(logits, np.zeros((2, *size, 3))))
    assert maps.dtype == (tf.uint8 if classes <= 256 else tf.int32)
    np.testing.assert_array_equal(maps, upsampled.argmax(-1))
