"""Files are decoded or refused according to their headers."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.export.image_bytes import OK, Limits, inspect, read
from tests.export import encoded, odd_files

VALID, MALFORMED = encoded.valid(), encoded.malformed()
UNDECODABLE, EXPENSIVE = odd_files.undecodable(), odd_files.expensive()


@pytest.fixture(autouse=True)
def fresh_keras():
    """Unneeded, and TensorFlow would optimize the functions again after each new seed."""


def reader(limits):
    return tf.function(
        lambda data: read(data, limits), input_signature=[tf.TensorSpec((), tf.string)]
    )


@pytest.fixture(scope="module")
def read_one():
    return reader(Limits())


@pytest.mark.parametrize("name", VALID)
def test_valid_files_are_decoded_like_in_pillow(name, read_one):
    status, image = read_one(VALID[name])
    assert status == OK.encode()
    if name == "16-bit png":  # Pillow clips to 8 bits
        expected = np.repeat(encoded.gradient()[..., :1], 3, axis=-1)
    else:
        expected = np.asarray(Image.open(io.BytesIO(VALID[name])).convert("RGB"))
    # JPEG decoders may round differently.
    np.testing.assert_allclose(image.numpy().astype(int), expected, atol=4 * ("jpeg" in name))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_headers_are_refused_with_a_reason(name, read_one):
    data, reason = MALFORMED[name]
    status, image = read_one(data)
    assert reason in status.numpy().decode()
    assert not np.any(image)
    assert image.shape == (1, 1, 3)


@pytest.mark.parametrize("name", UNDECODABLE)
def test_undecodable_files_get_a_status(name, read_one):
    status, image = read_one(UNDECODABLE[name])
    assert b"truncated" in status.numpy()
    assert image.shape == (1, 1, 3)


@pytest.mark.parametrize("name", EXPENSIVE)
def test_files_that_are_expensive_to_decode_are_refused(name, read_one):
    data, reason = EXPENSIVE[name]
    status, _ = read_one(data)
    assert reason in status.numpy().decode()


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png", "gif", "bmp"])
def test_truncated_files_are_refused_or_decoded_completely(name, read_one):
    _, expected = read_one(VALID[name])
    for length in range(4, len(VALID[name]), 1 + len(VALID[name]) // 100):
        status, image = read_one(VALID[name][:length])
        if status == OK:
            np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png", "gif", "bmp"])
def test_bytes_after_the_end_are_ignored(name, read_one):
    _, expected = read_one(VALID[name])
    # Phones append a second image or a video, which may contain any marker.
    status, image = read_one(VALID[name] + b"\xff\xda\0\4abcd" * 100 + VALID["jpeg"])
    assert status == OK.encode()
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("level", [0, 9])
def test_uncompressed_pixels_and_metadata_of_a_png_are_accepted(mode, level, read_one, rng):
    noise = rng.integers(0, 256, (900, 700, 3), "uint8")
    png = encoded.encode(noise, "PNG", mode, compress_level=level)
    metadata = odd_files.chunk(b"eXIf", rng.bytes(400_000))
    for data in (png, png[:-12] + metadata + png[-12:]):
        assert read_one(data)[0] == OK.encode()


def test_usual_progressive_jpegs_with_thumbnails_are_accepted(read_one):
    thumbnail = odd_files.jpeg_of_scans(70)
    exif = b"Exif\0\0" + thumbnail
    for data in (
        encoded.encode(encoded.gradient(), "JPEG", exif=exif, progressive=True),
        odd_files.jpeg_of_scans(50),
    ):
        assert read_one(data)[0] == OK.encode()


@pytest.mark.parametrize("first", [b"\1A", b"\1A\2BB"])
def test_blocks_of_a_gif_are_skipped_in_few_steps(first, read_one):
    """A photo has thousands of blocks; a step of a loop takes tens of microseconds."""
    gif = VALID["gif"]
    comment = b"\x21\xfe" + (first * 40_000 if first == b"\1A" else first * 500) + b"\0"
    at = gif.index(b"\x2c\0\0\0\0")
    status, image = read_one(gif[:at] + comment + gif[at:])
    assert status == OK.encode()
    np.testing.assert_array_equal(image, read_one(gif)[1])


def test_gif_is_truncated_after_its_first_frame():
    data = encoded.animation(encoded.gradient(), 6)
    status, cut = inspect(tf.constant(data), Limits())
    assert status == OK.encode()
    assert len(cut.numpy()) < len(data) / 3
    assert Image.open(io.BytesIO(cut.numpy())).n_frames == 1


def test_images_beyond_the_limits_are_refused():
    limited = reader(Limits(bytes=200, pixels=100, side=30))
    pixels = encoded.gradient()
    for cut, status in (
        (pixels[:10, :10], b"ok"),
        (pixels[:10, :11], b"11 x 10 pixels exceed the limit of 100 pixels"),
        (pixels[:31, :1], b"1 x 31 pixels"),
    ):
        assert limited(encoded.encode(cut, "PNG"))[0].numpy().startswith(status)
    status, _ = limited(encoded.encode(pixels, "JPEG"))
    assert b"bytes exceed the limit of 200 bytes" in status.numpy()


def test_randomly_corrupted_files_are_decoded_or_refused(read_one, rng):
    for name in ("jpeg", "png", "gif", "bmp"):
        for i in range(40):
            data = bytearray(VALID[name])
            for at in rng.integers(0, min(len(data), 60 if i % 2 else len(data)), 3):
                data[at] = rng.integers(0, 256)
            status, image = read_one(bytes(data[: rng.integers(1, len(data) + 1)]))
            assert (status == OK.encode()) == (image.shape != (1, 1, 3))
            assert status.numpy()
