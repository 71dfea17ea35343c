import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.utils.png import encode_indexed_png


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (300, 2)])
@pytest.mark.parametrize("classes", [2, 21, 256])
def test_pixels_are_class_ids_and_colors_those_of_the_palette(shape, classes, rng):
    mask = rng.integers(0, classes, shape)
    palette = rng.integers(0, 256, (classes, 3))
    data = encode_indexed_png(mask, palette).numpy()
    with Image.open(io.BytesIO(data)) as image:
        image.verify()  # all checksums
    image = Image.open(io.BytesIO(data))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), mask)
    np.testing.assert_array_equal(np.array(image.getpalette()).reshape(-1, 3)[:classes], palette)


def test_graph_and_eager_files_are_identical(rng):
    mask = tf.constant(rng.integers(0, 21, (37, 53)), tf.uint8)
    palette = rng.integers(0, 256, (21, 3))
    in_graph = tf.function(lambda mask: encode_indexed_png(mask, palette))(mask)
    assert in_graph == encode_indexed_png(mask, palette)


def test_more_than_256_classes_give_16_bit_grayscale(rng):
    mask = rng.integers(0, 400, (9, 11))
    data = encode_indexed_png(mask, np.zeros((400, 3))).numpy()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), mask)
