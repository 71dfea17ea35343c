"""Encoded images and tensors are answered, each by itself, or refused with a sentence."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.labels import default_palette
from tests.export import encoded
from tests.export.exported import SIZE, logits_of, predict
from tests.fixtures import assert_same_classes, raw_images


@pytest.fixture(scope="module", autouse=True)
def fresh_keras():
    """Seeds once: with each new seed, TensorFlow optimizes the signatures again (0.5 s)."""
    keras.utils.set_random_seed(0)


def mask_of(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_encoded_images_are_answered_with_masks_of_their_own_size(model, signatures):
    images = [raw_images(1, *size, seed=i)[0] for i, size in enumerate([SIZE, (30, 90), (150, 7)])]
    answer = predict(signatures, *(encoded.encode(image, "PNG") for image in images))
    assert answer["status"].tolist() == [b"ok"] * 3
    for image, data in zip(images, answer["mask_png_bytes"], strict=True):
        mask = Image.open(io.BytesIO(data))
        assert mask.mode == "P"
        assert mask.size == image.shape[1::-1]
        assert mask.getpalette()[:15] == default_palette(5).ravel().tolist()
    want = np.asarray(logits_of(model, images[0][None])["segmentation"])
    assert_same_classes(mask_of(answer["mask_png_bytes"][0])[None], want)


def test_each_image_of_a_batch_is_answered_as_if_alone(signatures):
    files = [encoded.encode(raw_images(1, 60, 50 + i, seed=i)[0], "PNG") for i in range(3)]
    together = predict(signatures, *files)
    for i, file in enumerate(files):
        alone = predict(signatures, file)
        assert (mask_of(alone["mask_png_bytes"][0]) == mask_of(together["mask_png_bytes"][i])).all()
        np.testing.assert_allclose(alone["presence"][0], together["presence"][i], atol=1e-5)


@pytest.mark.parametrize("name", encoded.hostile())
def test_a_refused_image_does_not_fail_the_others(name, signatures):
    data, sentence = encoded.hostile()[name]
    sound = encoded.encode(raw_images(1, 20, 30)[0], "JPEG")
    answer = predict(signatures, sound, data)
    assert answer["status"][0] == b"ok"
    if "pixels are more" not in sentence:
        assert sentence in answer["status"][1].decode()
    assert answer["mask_png_bytes"][1] == b""
    assert not answer["presence"][1].any()
    assert mask_of(answer["mask_png_bytes"][0]).shape == (20, 30)


@pytest.mark.parametrize("name", encoded.sound())
def test_every_kind_of_image_is_answered(name, signatures):
    [status], [data] = (
        predict(signatures, encoded.sound()[name])[key] for key in ("status", "mask_png_bytes")
    )
    assert status == b"ok"
    assert mask_of(data).ndim == 2


@pytest.mark.parametrize("name", encoded.broken_bodies())
def test_a_broken_body_is_invalid_and_the_next_request_is_answered(name, signatures):
    with pytest.raises(tf.errors.InvalidArgumentError):
        predict(signatures, encoded.broken_bodies()[name])
    assert predict(signatures, encoded.encode(raw_images(1, 8, 8)[0], "PNG"))["status"][0] == b"ok"


@pytest.mark.parametrize("count", [0, 5])
def test_requests_of_too_many_images_are_refused(count, signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 1 to 4 images"):
        predict(signatures, *([b""] * count))


@pytest.mark.parametrize("shape", [(1, 101, 100, 3), (2, 100, 51, 3), (1, 0, 9, 3), (0, 9, 9, 3)])
def test_tensors_of_too_many_pixels_are_refused(shape, signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 1 to 10000 pixels"):
        signatures["tensors"](images=tf.zeros(shape))


def test_metadata_has_a_row_per_query(model, signatures):
    answer = signatures["metadata"](query=tf.constant(["", ""]))
    names = [[name.encode() for name in model.class_names]] * 2
    assert answer["class_names"].numpy().tolist() == names
    np.testing.assert_array_equal(answer["palette"][1], default_palette(5))
    description = json.loads(answer["description"].numpy()[0])
    assert description["size"] == list(SIZE)
    assert description["scores"] == {"mean_iou": 0.5}
