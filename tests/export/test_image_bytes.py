"""Files are decoded or refused according to their headers."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.export.image_bytes import OK, Limits, decode, inspect
from tests.export import encoded

VALID, MALFORMED, CORRUPT = encoded.valid(), encoded.malformed(), encoded.corrupt_bodies()


@pytest.fixture(autouse=True)
def fresh_keras():
    """Unneeded, and TensorFlow would optimize the functions again after each new seed."""


def reader(limits):
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def read(data):
        status, data = inspect(data, limits)
        image = tf.cond(status == OK, lambda: decode(data), lambda: tf.zeros((0, 0, 3), tf.uint8))
        return status, image

    return read


@pytest.fixture(scope="module")
def read():
    return reader(Limits())


@pytest.mark.parametrize("name", VALID)
def test_valid_files_are_decoded_like_in_pillow(name, read):
    status, image = read(VALID[name])
    assert status == OK.encode()
    if name == "16-bit png":  # Pillow clips to 8 bits
        expected = np.repeat(encoded.gradient()[..., :1], 3, axis=-1)
    else:
        expected = np.asarray(Image.open(io.BytesIO(VALID[name])).convert("RGB"))
    # JPEG decoders may round differently.
    np.testing.assert_allclose(image.numpy().astype(int), expected, atol=4 * ("jpeg" in name))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_headers_are_refused_with_a_reason(name, read):
    data, reason = MALFORMED[name]
    status, image = read(data)
    assert reason in status.numpy().decode()
    assert image.shape == (0, 0, 3)


@pytest.mark.parametrize("name", CORRUPT)
def test_corrupt_bodies_are_invalid_arguments(name, read):
    with pytest.raises(tf.errors.InvalidArgumentError):
        read(CORRUPT[name])


def test_gif_is_truncated_after_its_first_frame():
    data = encoded.animation(encoded.gradient(), 6)
    status, cut = inspect(tf.constant(data), Limits())
    assert status == OK.encode()
    assert len(cut.numpy()) < len(data) / 3
    assert Image.open(io.BytesIO(cut.numpy())).n_frames == 1


def test_limits():
    read = reader(Limits(bytes=200, pixels=100, side=30))
    pixels = encoded.gradient()
    for cut, status in (
        (pixels[:10, :10], b"ok"),
        (pixels[:10, :11], b"11 x 10 pixels exceed the limit of 100 pixels"),
        (pixels[:31, :1], b"1 x 31 pixels"),
    ):
        assert read(encoded.encode(cut, "PNG"))[0].numpy().startswith(status)
    assert b"bytes exceed the limit of 200 bytes" in read(encoded.encode(pixels, "JPEG"))[0].numpy()


def test_randomly_corrupted_files_are_decoded_refused_or_invalid(read, rng):
    for name in ("jpeg", "png", "gif", "bmp"):
        for i in range(40):
            data = bytearray(VALID[name])
            for at in rng.integers(0, min(len(data), 60 if i % 2 else len(data)), 3):
                data[at] = rng.integers(0, 256)
            try:
                status, image = read(bytes(data[: rng.integers(1, len(data) + 1)]))
            except tf.errors.InvalidArgumentError:
                continue
            assert (status == OK.encode()) == (image.shape != (0, 0, 3))
            assert status.numpy()
