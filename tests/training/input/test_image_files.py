import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image, PngImagePlugin

from keras_encnet.export import image_bytes
from training.input.image_files import (
    decode_image,
    decode_mask,
    exif_orientation,
    read_image,
    read_mask,
)


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
        *itertools.product(["L", "RGB"], [".jpg", ".png"]),
        *itertools.product(["RGB", "RGBA"], [".bmp"]),
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
    with pytest.raises(ValueError, match=r"corrupt or truncated. Received: path=.*mask\.png"):
        read_mask(tmp_path / "mask.png")


def encoded(image, name, **options):
    data = io.BytesIO()
    image.save(data, name, **options)
    return data.getvalue()


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_every_cut_and_every_flipped_bit_of_a_png_raises(tmp_path, rng, read):
    shape = (5, 4, 3) if read is read_image else (5, 4)
    data = encoded(Image.fromarray(rng.integers(0, 3, shape, "uint8")), "PNG")
    damaged = [data[:-cut] for cut in range(1, 17)]
    for bit in range(0, 8 * len(data), 5):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    path = tmp_path / "image.png"
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"Received: path=.*image\.png"):
            read(path)


def small_frame_gif():
    """A GIF of 10x8 whose first frame covers 4x3 of it."""
    data = bytearray(encoded(Image.new("P", (4, 3), 1), "GIF"))
    data[6:10] = struct.pack("<HH", 10, 8)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.fromarray(np.arange(0, 60000, 500, "uint16").reshape(10, 12)), "PNG"),
        encoded(Image.linear_gradient("L").convert("CMYK"), "JPEG"),
        encoded(Image.linear_gradient("L").convert("RGBA"), "BMP"),
        encoded(Image.linear_gradient("L").convert("LA"), "PNG"),
        small_frame_gif(),
    ],
    ids=["16 bits", "CMYK", "32-bit BMP", "alpha", "GIF with a small frame"],
)
def test_images_are_decoded_as_in_exported_models(tmp_path, data):
    path = tmp_path / "image"
    path.write_bytes(data)
    status, exported = image_bytes.read(tf.constant(data), image_bytes.Limits())
    assert status == image_bytes.OK
    for image in read_image(path), decode_image(str(path)).numpy():
        np.testing.assert_array_equal(image, exported)


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_the_exif_orientation_is_read(tmp_path, name, orientation):
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    image.save(tmp_path / "image", name, exif=exif)
    valid = orientation in range(1, 9)
    assert exif_orientation(tmp_path / "image") == (orientation if valid else 1)


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
@pytest.mark.parametrize("data", [b"", b"II", b"damaged", b"II*\0\xff\xff\xff\xff"])
def test_damaged_exif_data_mean_upright(tmp_path, name, data):
    Image.new("RGB", (8, 8)).save(tmp_path / "image", name, exif=b"Exif\0\0" + data)
    assert exif_orientation(tmp_path / "image") == 1
    assert read_image(tmp_path / "image").shape == (8, 8, 3)


def test_labels_are_mapped_simultaneously(tmp_path):
    ids = np.array([[0, 1, 2, 255]], "uint8")
    Image.fromarray(ids).save(tmp_path / "mask.png")
    label_map = ((255, 1), (1, 2), (0, 0))
    for mask in (
        read_mask(tmp_path / "mask.png", label_map),
        decode_mask(str(tmp_path / "mask.png"), label_map).numpy(),
    ):
        assert mask.tolist() == [[0, 2, 2, 1]]
