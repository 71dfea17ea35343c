"""What a file's header says decides whether it is decoded."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.export.image_bytes import OK, Limits, decode, inspect
from tests.export import encoded

SOUND, HOSTILE, BROKEN = encoded.sound(), encoded.hostile(), encoded.broken_bodies()


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


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_are_decoded_as_pillow_does(name, read):
    status, image = read(SOUND[name])
    assert status == OK.encode()
    if name == "16-bit png":  # Pillow clips to 8 bits
        want = np.repeat(encoded.gradient()[..., :1], 3, axis=-1)
    else:
        want = np.asarray(Image.open(io.BytesIO(SOUND[name])).convert("RGB"))
    # Decoders of JPEG may round differently.
    np.testing.assert_allclose(image.numpy().astype(int), want, atol=4 * ("jpeg" in name))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_are_refused_with_a_sentence(name, read):
    data, sentence = HOSTILE[name]
    status, image = read(data)
    assert sentence in status.numpy().decode()
    assert image.shape == (0, 0, 3)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bodies_are_invalid_arguments(name, read):
    with pytest.raises(tf.errors.InvalidArgumentError):
        read(BROKEN[name])


def test_only_the_first_frame_of_a_gif_reaches_the_decoder():
    data = encoded.animation(encoded.gradient(), 6)
    status, cut = inspect(tf.constant(data), Limits())
    assert status == OK.encode()
    assert len(cut.numpy()) < len(data) / 3
    assert Image.open(io.BytesIO(cut.numpy())).n_frames == 1


def test_limits_are_those_given():
    read = reader(Limits(bytes=200, pixels=100, side=30))
    pixels = encoded.gradient()
    for cut, sentence in (
        (pixels[:10, :10], b"ok"),
        (pixels[:10, :11], b"11 x 10 pixels are more than the 100 taken here"),
        (pixels[:31, :1], b"1 x 31 pixels"),
    ):
        assert read(encoded.encode(cut, "PNG"))[0].numpy().startswith(sentence)
    assert b"bytes are more than the 200" in read(encoded.encode(pixels, "JPEG"))[0].numpy()


def test_random_damage_is_answered_refused_or_invalid(read, rng):
    for name in ("jpeg", "png", "gif", "bmp"):
        for i in range(40):
            data = bytearray(SOUND[name])
            for at in rng.integers(0, min(len(data), 60 if i % 2 else len(data)), 3):
                data[at] = rng.integers(0, 256)
            try:
                status, image = read(bytes(data[: rng.integers(1, len(data) + 1)]))
            except tf.errors.InvalidArgumentError:
                continue
            assert (status == OK.encode()) == (image.shape != (0, 0, 3))
            assert status.numpy()
