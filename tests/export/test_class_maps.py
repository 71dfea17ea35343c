"""Strips give the class maps of the whole, and PNG files that any reader takes."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.export import class_maps
from keras_encnet.layers import BilinearUpsampling


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("size", "classes"), [((37, 53), 21), ((1, 1), 4), ((700, 1), 5), ((3, 90), 300), ((5, 7), 256)]
)
def test_strips_are_upsampling_and_arg_max(size, classes, align_corners, rng, monkeypatch):
    monkeypatch.setattr(class_maps, "STRIP_VALUES", 4 * 53 * 21)  # several strips, one unfinished
    logits = rng.normal(size=(2, 5, 7, classes)).astype("float32")
    got = tf.function(class_maps.class_maps)(logits, *map(tf.constant, size), align_corners)
    whole = np.asarray(BilinearUpsampling(align_corners)(logits, np.zeros((2, *size, 3))))
    assert got.dtype == (tf.uint8 if classes <= 256 else tf.int32)
    np.testing.assert_array_equal(got, whole.argmax(-1))


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (300, 2)])
@pytest.mark.parametrize("classes", [2, 21, 256])
def test_masks_become_indexed_png_with_their_palette(shape, classes, rng):
    mask = rng.integers(0, classes, shape).astype("uint8")
    palette = rng.integers(0, 256, (classes, 3)).astype("uint8")
    data = class_maps.encode_indexed_png(tf.constant(mask), palette).numpy()
    with Image.open(io.BytesIO(data)) as image:
        image.verify()  # all checksums
    image = Image.open(io.BytesIO(data))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), mask)
    np.testing.assert_array_equal(np.array(image.getpalette()).reshape(-1, 3)[:classes], palette)


def test_more_than_256_classes_become_16_bit_gray(rng):
    mask = rng.integers(0, 400, (9, 11)).astype("int32")
    data = class_maps.encode_indexed_png(tf.constant(mask), None).numpy()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), mask)
