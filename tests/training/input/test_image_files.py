import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from training.input.image_files import decode_image, decode_mask


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *itertools.product(["L", "RGB"], [".jpg", ".png", ".bmp"]),
        *itertools.product(["1", "P", "LA", "RGBA"], [".png"]),
        ("CMYK", ".jpg"),
    ],
)
def test_every_kind_of_image_becomes_three_channels(tmp_path, rng, mode, suffix):
    small = Image.fromarray(rng.integers(0, 256, (3, 4, 3), "uint8"))
    image = small.resize((40, 30), Image.Resampling.BICUBIC).convert(mode)
    path = tmp_path / f"image{suffix}"
    image.save(path)
    decoded = decode_image(str(path))
    assert decoded.dtype == tf.uint8
    with Image.open(path) as reopened:
        expected = np.asarray(reopened.convert("RGB"), int)
    # Two decoders of JPEG need not agree in the last bits.
    np.testing.assert_allclose(decoded.numpy(), expected, atol=4 if suffix == ".jpg" else 0)


def test_an_image_of_16_bits_is_read_by_its_upper_bits(tmp_path):
    pixels = np.array([[0, 255, 256, 65535]], "uint16")
    Image.fromarray(pixels).save(tmp_path / "image.png")
    decoded = decode_image(str(tmp_path / "image.png"))
    assert decoded[0, :, 0].numpy().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_mask_with_a_palette_is_read_by_its_indices(tmp_path, rng, bits):
    ids = rng.integers(0, 2**bits, (13, 17), "uint8")
    mask = Image.fromarray(ids)
    # Every color twice, so that no way leads from the colors back to the indices.
    mask.putpalette([c // 6 * 7 % 256 for c in range(3 * 2**bits)])
    remark = PngImagePlugin.PngInfo()
    remark.add_text("Comment", "between the header and the palette")
    mask.save(tmp_path / "mask.png", bits=bits, transparency=0, pnginfo=remark, dpi=(72, 72))
    decoded = decode_mask(str(tmp_path / "mask.png"))
    assert decoded.dtype == tf.int32
    np.testing.assert_array_equal(decoded, ids)


def test_a_mask_in_color_is_an_error_that_names_the_file(tmp_path):
    path = str(tmp_path / "mask.png")
    Image.new("RGB", (3, 2)).save(path)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"(?s)one channel.*{path}"):
        decode_mask(path)


@pytest.mark.parametrize("decode", [decode_image, decode_mask])
def test_no_python_runs_within_the_pipeline(decode):
    # If it did, a process that ends while batches are made would wait for ever, now and then.
    graph = tf.function(decode).get_concrete_function(tf.TensorSpec((), tf.string)).graph
    kinds = {node.op for node in graph.as_graph_def().node}
    assert "ReadFile" in kinds
    assert not {kind for kind in kinds if "PyFunc" in kind}
