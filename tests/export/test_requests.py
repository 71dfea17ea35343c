"""Requests of an exported model: encoded images, tensors and metadata."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.labels import default_palette
from tests.export import encoded, odd_files
from tests.export.exported import SIZE, logits_of, predict
from tests.fixtures import assert_same_classes, raw_images


@pytest.fixture(scope="module", autouse=True)
def fresh_keras():
    """Seeds once: with each new seed, TensorFlow optimizes the signatures again (0.5 s)."""
    keras.utils.set_random_seed(0)


def mask_of(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_masks_have_the_sizes_of_their_images(model, signatures):
    images = [raw_images(1, *size, seed=i)[0] for i, size in enumerate([SIZE, (30, 90), (150, 7)])]
    outputs = predict(signatures, *(encoded.encode(image, "PNG") for image in images))
    assert outputs["status"].tolist() == [b"ok"] * 3
    for image, data in zip(images, outputs["mask_png_bytes"], strict=True):
        mask = Image.open(io.BytesIO(data))
        assert mask.mode == "P"
        assert mask.size == image.shape[1::-1]
        assert mask.getpalette()[:15] == default_palette(5).ravel().tolist()
    expected = np.asarray(logits_of(model, images[0][None])["segmentation"])
    assert_same_classes(mask_of(outputs["mask_png_bytes"][0])[None], expected)


def test_images_of_a_batch_are_predicted_independently(signatures):
    files = [encoded.encode(raw_images(1, 60, 50 + i, seed=i)[0], "PNG") for i in range(3)]
    together = predict(signatures, *files)
    for i, file in enumerate(files):
        single = predict(signatures, file)
        masks = [mask_of(single["mask_png_bytes"][0]), mask_of(together["mask_png_bytes"][i])]
        np.testing.assert_array_equal(*masks)
        np.testing.assert_allclose(single["presence"][0], together["presence"][i], atol=1e-5)


@pytest.mark.parametrize("name", encoded.malformed())
def test_refused_image_does_not_fail_the_others(name, signatures):
    data, reason = encoded.malformed()[name]
    valid = encoded.encode(raw_images(1, 20, 30)[0], "JPEG")
    outputs = predict(signatures, valid, data)
    assert outputs["status"][0] == b"ok"
    if "pixels exceed" not in reason:
        assert reason in outputs["status"][1].decode()
    assert outputs["mask_png_bytes"][1] == b""
    assert not outputs["presence"][1].any()
    assert mask_of(outputs["mask_png_bytes"][0]).shape == (20, 30)


@pytest.mark.parametrize("name", encoded.valid())
def test_every_image_format_is_accepted(name, signatures):
    [status], [data] = (
        predict(signatures, encoded.valid()[name])[key] for key in ("status", "mask_png_bytes")
    )
    assert status == b"ok"
    assert mask_of(data).ndim == 2


def test_undecodable_images_do_not_fail_the_others_of_their_batch(signatures):
    valid = encoded.encode(raw_images(1, 20, 30)[0], "JPEG")
    expected = predict(signatures, valid)["mask_png_bytes"][0]
    odd = [*odd_files.undecodable().values(), *(d for d, _ in odd_files.expensive().values())]
    for start in range(0, len(odd), 3):
        outputs = predict(signatures, valid, *odd[start : start + 3])
        assert outputs["status"][0] == b"ok"
        assert outputs["mask_png_bytes"][0] == expected
        assert b"ok" not in outputs["status"][1:]
        assert not any(outputs["mask_png_bytes"][1:])
        assert not outputs["presence"][1:].any()


@pytest.mark.parametrize("count", [0, 5])
def test_too_many_images_raise(count, signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 1 to 4 images"):
        predict(signatures, *([b""] * count))


@pytest.mark.parametrize("shape", [(1, 101, 100, 3), (2, 100, 51, 3), (1, 0, 9, 3), (0, 9, 9, 3)])
def test_too_many_pixels_raise(shape, signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 1 to 10000 pixels in"):
        signatures["tensors"](images=tf.zeros(shape))


def test_metadata_has_one_row_per_query(model, signatures):
    outputs = signatures["metadata"](query=tf.constant(["", ""]))
    names = [[name.encode() for name in model.class_names]] * 2
    assert outputs["class_names"].numpy().tolist() == names
    np.testing.assert_array_equal(outputs["palette"][1], default_palette(5))
    description = json.loads(outputs["description"].numpy()[0])
    assert description["size"] == list(SIZE)
    assert description["scores"] == {"mean_iou": 0.5}
