"""Arrays are read as they are, by both decoders; what is no image is refused with its path."""

import numpy as np
import pytest
import tensorflow as tf

from training.input import npy
from training.input.image_files import decode_image, exif_orientation, read_image
from training.input.pixels import Pixels

TYPES = ("u1", "<u2", "<i2", "<f2", "<f4", "<f8")


def arrays():
    draw = np.random.default_rng(0)
    for kind in TYPES:
        for shape in ((3, 4), (3, 4, 1), (3, 4, 5)):
            for order in "CF":
                values = draw.integers(0, 2 ** (8 if kind == "u1" else 11), shape)
                yield np.asarray(values, kind, order=order)


def test_both_decoders_return_the_stored_values(tmp_path):
    path = tmp_path / "image.NPY"
    for array in arrays():
        with path.open("wb") as file:
            np.save(file, array)
        expected = array.reshape(3, 4, -1)
        channels = expected.shape[-1]
        read = read_image(path, channels)
        assert read.dtype == ("uint8" if array.dtype == np.uint8 else "float32")
        np.testing.assert_array_equal(read, expected)
        pixels = Pixels(channels, str(read.dtype), arrays=True)
        decoded = decode_image(str(path), pixels)
        assert (decoded.dtype, decoded.shape) == (read.dtype, expected.shape)
        np.testing.assert_array_equal(decoded, expected)
    assert exif_orientation(path) == 1


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_versions_of_the_format_are_read(tmp_path, version):
    array = np.arange(24, dtype="uint16").reshape(2, 3, 4)
    with (tmp_path / "image.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    np.testing.assert_array_equal(read_image(tmp_path / "image.npy", 4), array)
    data = tf.io.read_file(str(tmp_path / "image.npy"))
    np.testing.assert_array_equal(npy.decode(data), array)


def test_arrays_and_files_of_a_data_set_become_floats(tmp_path):
    image = np.arange(24, dtype="uint8").reshape(2, 4, 3)
    (tmp_path / "image.png").write_bytes(tf.io.encode_png(image).numpy())
    decoded = decode_image(str(tmp_path / "image.png"), Pixels(3, "float32", arrays=True))
    assert decoded.dtype == "float32"
    np.testing.assert_array_equal(decoded, image)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda f: np.save(f, np.array([[[{}]]]), allow_pickle=True), "pickled objects are not"),
        (lambda f: f.write(b"\x80\x04K\x01."), "pickled objects are not"),
        (lambda f: f.write(b""), "damaged"),
        (lambda f: f.write(b"\x93NUMPY\x01\x00\xff\xff{'descr'"), "damaged"),
        (lambda f: np.savez(f, np.zeros((2, 2, 2))), "archive of arrays"),
        (lambda f: np.save(f, np.zeros(5)), r"of shape \(5,\)"),
        (lambda f: np.save(f, np.zeros((2, 0, 3))), r"of shape \(2, 0, 3\)"),
        (lambda f: np.save(f, np.zeros((2, 2, 2), "int64")), "astype.*of dtype '<i8'"),
        (lambda f: np.save(f, np.zeros((2, 2, 2), ">f4")), "little-endian.*of dtype '>f4'"),
        (lambda f: np.save(f, np.zeros((2, 2, 2), complex)), "of dtype '<c16'"),
        (lambda f: np.save(f, np.full((2, 2, 2), np.nan)), "with NaN or infinite"),
        (lambda f: np.save(f, np.full((2, 2, 2), 1e60)), "with NaN or infinite"),
        (lambda f: np.save(f, np.zeros((2, 2, 4))), "has 4 channels, but .* 2"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_file_that_is_no_image_raises_and_is_named(tmp_path, write, message):
    with (tmp_path / "image.npy").open("wb") as file:
        write(file)
    with pytest.raises(
        ValueError, match=rf"(?s){message}.*Received: path=.*image\.npy|.*image\.npy"
    ) as error:
        read_image(tmp_path / "image.npy", 2)
    assert "image.npy" in str(error.value)


@pytest.mark.parametrize("cut", [1, 8, 100])
def test_a_truncated_array_raises(tmp_path, cut):
    np.save(tmp_path / "whole.npy", np.zeros((4, 5, 6), "float32"))
    (tmp_path / "image.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r"damaged.*Received: path=.*image\.npy"):
        read_image(tmp_path / "image.npy", 6)


def test_decoding_contains_no_python_function():
    pixels = Pixels(4, "float32", arrays=True)
    decode = tf.function(lambda path: decode_image(path, pixels))
    graph = decode.get_concrete_function(tf.TensorSpec((), tf.string)).graph
    assert not {node.op for node in graph.as_graph_def().node if "PyFunc" in node.op}
