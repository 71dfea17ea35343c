"""The number of channels of a data set is that of its images."""

import numpy as np
import pytest
from PIL import Image

from training.input.image_files import read_image
from training.input.pixels import Pixels, pixels_of, stored_pixels


@pytest.fixture
def write(tmp_path):
    def save(name, mode="RGB", **options):
        path = tmp_path / name
        if path.suffix == ".npy":
            np.save(path, np.zeros((2, 3, options["channels"]), options.get("dtype", "uint8")))
        else:
            Image.new(mode, (3, 2)).save(path)
        return path

    return save


@pytest.mark.parametrize(
    ("name", "mode", "channels"),
    [
        *(("image.png", mode, 1) for mode in ("1", "L", "LA", "I;16")),
        *(("image.png", mode, 3) for mode in ("P", "RGB")),
        ("image.png", "RGBA", 4),
        ("image.jpg", "L", 1),
        ("image.jpg", "RGB", 3),
        ("image.jpg", "CMYK", 3),
        ("image.gif", "P", 3),
        ("image.bmp", "RGB", 3),
    ],
)
def test_channels_are_those_of_the_header(write, name, mode, channels):
    assert stored_pixels(write(name, mode)) == (channels, np.uint8)


def test_images_that_agree_decide_the_number_of_channels(write):
    for mode, channels in (("L", 1), ("RGB", 3), ("RGBA", 4)):
        paths = [write(f"{mode}{i}.png", mode) for i in range(2)]
        assert pixels_of(paths) == Pixels(channels)
    paths = [write(f"{i}.npy", channels=7) for i in range(2)]
    assert pixels_of(paths) == Pixels(7, "uint8", arrays=True)
    paths.append(write("2.npy", channels=7, dtype="uint16"))
    assert pixels_of(paths) == Pixels(7, "float32", arrays=True)


def test_mixed_files_are_rgb(write):
    paths = [write(f"{mode}.png", mode) for mode in ("L", "RGB", "RGBA")]
    assert pixels_of(paths) == Pixels(3)
    assert {read_image(path).shape for path in paths} == {(2, 3, 3)}


def test_the_option_decides_the_number_of_channels(write):
    assert pixels_of([write("image.png", "RGBA")], 3) == Pixels(3)


def test_damaged_files_do_not_decide(write, tmp_path):
    (tmp_path / "damaged.png").write_bytes(b"damaged")
    assert pixels_of([tmp_path / "damaged.png", write("image.png", "L")]) == Pixels(1)
    assert pixels_of([tmp_path / "damaged.png"]) == Pixels(3)


def test_arrays_with_different_channels_raise(write):
    paths = [write("a.npy", channels=4), write("b.npy", channels=5)]
    with pytest.raises(
        ValueError, match=r"Received: images with 4 \(a.npy\), 5 \(b.npy\) channels"
    ):
        pixels_of(paths)
    with pytest.raises(ValueError, match=r"3 \(c.png\), 4 \(a.npy\)"):
        pixels_of([paths[0], write("c.png")])


@pytest.mark.parametrize(("name", "mode", "channels"), [("a.png", "RGB", 4), ("a.png", "L", 2)])
def test_an_image_with_too_few_channels_raises(write, name, mode, channels):
    with pytest.raises(ValueError, match=rf"have {channels}\. Received: path=.*a\.png"):
        read_image(write(name, mode), channels)


@pytest.mark.slow
def test_files_are_read_as_gray_and_with_alpha(tmp_path, rng):
    rgba = rng.integers(0, 256, (5, 6, 4), "uint8")
    Image.fromarray(rgba).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 4), rgba)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 3), rgba[..., :3])
    luma = np.asarray(Image.fromarray(rgba[..., :3]).convert("L"))
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 1)[..., 0], luma)
    Image.fromarray(luma).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png", 1)[..., 0], luma)
