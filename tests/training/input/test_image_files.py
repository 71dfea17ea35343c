import itertools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from training.input.image_files import decode_image, decode_mask, read_mask


def png(ids, depth, color):
    """Encodes a PNG of any depth, 1 to 16 bits, gray (color 0) or of a palette (color 3)."""

    def chunk(kind, data):
        length, checksum = len(data), zlib.crc32(kind + data)
        return struct.pack(">I4s", length, kind) + data + struct.pack(">I", checksum)

    rows = ["".join(format(i, f"0{depth}b") for i in row) for row in ids]
    packed = [np.packbits([int(bit) for bit in row]).tobytes() for row in rows]
    header = struct.pack(">IIBBBBB", len(ids[0]), len(ids), depth, color, 0, 0, 0)
    palette = np.random.default_rng(0).integers(0, 256, 3 * min(2**depth, 256), "uint8").tobytes()
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"PLTE", palette) if color == 3 else b"",
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in packed))),
            chunk(b"IEND", b""),
        ]
    )


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *itertools.product(["L", "RGB"], [".jpg", ".png", ".bmp"]),
        *itertools.product(["1", "P", "LA", "RGBA"], [".png"]),
        ("CMYK", ".jpg"),
    ],
)
def test_every_image_format_decodes_to_three_channels(tmp_path, rng, mode, suffix):
    small = Image.fromarray(rng.integers(0, 256, (3, 4, 3), "uint8"))
    image = small.resize((40, 30), Image.Resampling.BICUBIC).convert(mode)
    path = tmp_path / f"image{suffix}"
    image.save(path)
    decoded = decode_image(str(path))
    assert decoded.dtype == tf.uint8
    with Image.open(path) as reopened:
        expected = np.asarray(reopened.convert("RGB"), int)
    # JPEG decoders may differ in the last bits.
    np.testing.assert_allclose(decoded.numpy(), expected, atol=4 if suffix == ".jpg" else 0)


def test_16_bit_images_keep_their_upper_bits(tmp_path):
    pixels = np.array([[0, 255, 256, 65535]], "uint16")
    Image.fromarray(pixels).save(tmp_path / "image.png")
    decoded = decode_image(str(tmp_path / "image.png"))
    assert decoded[0, :, 0].numpy().tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_masks_decode_to_indices(tmp_path, rng, bits):
    ids = rng.integers(0, 2**bits, (13, 17), "uint8")
    mask = Image.fromarray(ids)
    # Every color appears twice, so that the colors do not determine the indices.
    mask.putpalette([c // 6 * 7 % 256 for c in range(3 * 2**bits)])
    remark = PngImagePlugin.PngInfo()
    remark.add_text("Comment", "a chunk between the header and the palette")
    mask.save(tmp_path / "mask.png", bits=bits, transparency=0, pnginfo=remark, dpi=(72, 72))
    decoded = decode_mask(str(tmp_path / "mask.png"))
    assert decoded.dtype == tf.int32
    np.testing.assert_array_equal(decoded, ids)


def test_rgb_mask_error_names_the_file(tmp_path):
    path = str(tmp_path / "mask.png")
    Image.new("RGB", (3, 2)).save(path)
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"(?s)one channel.*{path}"):
        decode_mask(path)


@pytest.mark.parametrize("decode", [decode_image, decode_mask])
def test_decoders_contain_no_python_function(decode):
    # A Python function could deadlock when the process exits while batches are prepared.
    graph = tf.function(decode).get_concrete_function(tf.TensorSpec((), tf.string)).graph
    kinds = {node.op for node in graph.as_graph_def().node}
    assert "ReadFile" in kinds
    assert not {kind for kind in kinds if "PyFunc" in kind}


@pytest.mark.parametrize(
    ("depth", "color"), [*((d, 0) for d in (1, 2, 4, 8, 16)), *((d, 3) for d in (1, 2, 4, 8))]
)
def test_both_decoders_return_the_stored_ids(tmp_path, depth, color):
    ids = np.random.default_rng(0).integers(0, 2**depth, (5, 7))
    path = str(tmp_path / "mask.png")
    (tmp_path / "mask.png").write_bytes(png(ids, depth, color))
    # The data check uses one, training the other.
    for mask in read_mask(path), decode_mask(path).numpy():
        assert mask.dtype == "int32"
        np.testing.assert_array_equal(mask, ids)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_masks_with_several_channels_raise(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"one channel or a palette.*Received: path="):
        read_mask(tmp_path / "mask.png")


def test_a_tiff_named_png_raises(tmp_path):
    Image.new("F", (3, 2)).save(tmp_path / "mask.png", "TIFF")
    with pytest.raises(ValueError, match=r"must be a PNG file. Received: path="):
        read_mask(tmp_path / "mask.png")


def test_truncated_mask_raises(tmp_path):
    ids = np.random.default_rng(0).integers(0, 2, (50, 70), "uint8")
    Image.fromarray(ids).save(tmp_path / "mask.png")
    data = (tmp_path / "mask.png").read_bytes()
    (tmp_path / "mask.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(OSError, match="truncated"):
        read_mask(tmp_path / "mask.png")
