"""Encoded images, valid and malformed."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encode(pixels, form, mode="RGB", **options):
    file = io.BytesIO()
    if mode == "I;16":
        Image.fromarray(pixels[..., 0].astype("uint16") * 257).save(file, form, **options)
    else:
        Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return file.getvalue()


def animation(pixels, frames):
    images = [Image.fromarray(np.roll(pixels, 5 * i, axis=1)).convert("P") for i in range(frames)]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:])
    return file.getvalue()


def with_size(png, width, height):
    """Returns a PNG whose header has another size and the matching checksum."""
    header = struct.pack(">II", width, height) + png[24:29]
    checksum = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return png[:16] + header + checksum + png[33:]


def gradient(height=40, width=60):
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None]
    return (ramp * np.array([2, 1, 1.5])).clip(0, 255).astype("uint8")


def valid(pixels=None):
    """Returns files that must be accepted, by name."""
    pixels = gradient() if pixels is None else pixels
    topdown = bytearray(encode(pixels, "BMP"))
    topdown[22:26] = struct.pack("<i", -pixels.shape[0])
    flipped = pixels[::-1]
    return {
        "jpeg": encode(pixels, "JPEG"),
        "progressive jpeg": encode(pixels, "JPEG", progressive=True),
        "gray jpeg": encode(pixels, "JPEG", "L"),
        "cmyk jpeg": encode(pixels, "JPEG", "CMYK"),
        "jpeg with a long exif": encode(pixels, "JPEG", exif=b"Exif\0\0" + b"x" * 60000),
        "png": encode(pixels, "PNG"),
        "gray png": encode(pixels, "PNG", "L"),
        "palette png": encode(pixels, "PNG", "P"),
        "rgba png": encode(pixels, "PNG", "RGBA"),
        "16-bit png": encode(pixels, "PNG", "I;16"),
        "gif": encode(pixels, "GIF"),
        "animated gif": animation(pixels, 4),
        "bmp": encode(pixels, "BMP"),
        "bmp from top to bottom": bytes(topdown[:54]) + encode(flipped, "BMP")[54:],
        "bmp with alpha": encode(pixels, "BMP", "RGBA"),
        "1 x 1": encode(pixels[:1, :1], "PNG"),
        "20000 x 1": encode(np.zeros((1, 20000, 3), "uint8"), "PNG"),
    }


def malformed():
    """Returns files that must be refused, each with a part of its status, by name."""
    pixels = gradient()
    png, jpeg, gif = encode(pixels, "PNG"), encode(pixels, "JPEG"), animation(pixels, 3)
    screen = struct.pack("<HHBBB", 100, 100, 0, 0, 0)
    return {
        "no bytes": (b"", "No bytes"),
        "text": (b"hello", "Not a JPEG"),
        "zeros": (bytes(1000), "Not a JPEG"),
        "webp": (encode(pixels, "WEBP"), "Not a JPEG"),
        "tiff": (encode(pixels, "TIFF"), "Not a JPEG"),
        "png of 60000 x 60000": (with_size(png, 60000, 60000), "60000 x 60000 pixels exceed"),
        "png of one long row": (with_size(png, 40000, 1), "40000 x 1 pixels exceed"),
        "png of 0 x 5": (with_size(png, 0, 5), "corrupt or truncated"),
        "png cut in its header": (png[:20], "corrupt or truncated"),
        "jpeg cut in its header": (jpeg[:100], "corrupt or truncated"),
        "jpeg of padding": (b"\xff\xd8" + b"\xff" * 5000, "corrupt or truncated"),
        "jpeg of empty segments": (b"\xff\xd8" + b"\xff\xe0\0\2" * 900, "corrupt or truncated"),
        "jpeg without end": (b"\xff\xd8\xff\xe0\xff\xff" + bytes(10), "corrupt or truncated"),
        "lossless jpeg": (jpeg.replace(b"\xff\xc0", b"\xff\xc3"), "not supported"),
        "gif cut in its header": (gif[:10], "corrupt or truncated"),
        "gif cut in its first frame": (gif[:900], "corrupt or truncated"),
        "gif of extensions": (b"GIF89a" + screen + b"\x21\xfe\1A\0" * 500, "corrupt or truncated"),
        "palette bmp": (encode(pixels, "BMP", "P"), "24 or 32 bits"),
        "bmp cut in its header": (encode(pixels, "BMP")[:20], "24 or 32 bits"),
    }
