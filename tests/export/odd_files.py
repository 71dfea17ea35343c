"""Files that TensorFlow cannot decode in spite of valid headers, or that take long to decode."""

import struct
import zlib

import numpy as np

from tests.export.encoded import encode, gradient, with_size


def undecodable():
    """Returns files with the signature and the size of an image that cannot be decoded, by name."""
    return {**_jpegs(), **_pngs(), **_gifs(), **_bmps()}


def chunk(name, body):
    """Returns a chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def expensive():
    """Returns files that are small for the time that decoding takes, each with a part of its
    status, by name."""
    text = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(100_000)))
    png, screen = encode(gradient(), "PNG"), struct.pack("<HHBBB", 100, 100, 0, 0, 0)
    comments = b"GIF89a" + screen + b"\x21\xfe" + b"\1A\2BB" * 100_000 + b"\0"
    return {
        "jpeg of many scans": (jpeg_of_scans(200), "more than 64 scans"),
        "jpeg of many tables": (with_segments(b"\xff\xdb\0\2", 5000), "more than 1024 segments"),
        "png of many compressed texts": (
            png[:33] + text * 17 + png[33:],
            "more than 16 compressed",
        ),
        "png of many bytes after the last row": (with_pixels(2**20), "more compressed data"),
        "gif of many blocks": (comments, "too many blocks"),
    }


def with_pixels(count):
    """Returns a PNG with random bytes in addition to its pixels, in their compressed stream."""
    pixels = gradient()
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    stream = zlib.compress(rows + np.random.default_rng(0).bytes(count))
    png = encode(pixels, "PNG")
    return png[:33] + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


def jpeg_of_scans(count):
    """Returns a progressive JPEG in which the shortest scan is repeated."""
    data = encode(gradient(), "JPEG", progressive=True)
    scans = [b"\xff\xda" + part for part in data.split(b"\xff\xda")[1:]]
    shortest = min(scans[:-1], key=len)  # the last one includes the end of the image
    shortest = shortest.split(b"\xff\xc4")[0]  # without the tables of the next scan
    return data[:-2] + shortest * count + data[-2:]


def with_segments(segment, count):
    """Returns a JPEG with a segment repeated before its frame."""
    data = encode(gradient(), "JPEG")
    return data[:2] + segment * count + data[2:]


def _jpegs():
    pixels = gradient()
    plain = encode(pixels, "JPEG")
    progressive = encode(pixels, "JPEG", progressive=True)
    frame, scan = plain.index(b"\xff\xc0"), plain.index(b"\xff\xda")
    tables, codes = plain.index(b"\xff\xdb"), plain.index(b"\xff\xc4")

    def changed(at, byte):
        return plain[:at] + bytes([byte]) + plain[at + 1 :]

    return {
        "jpeg without its end": plain[:-2],
        "jpeg cut in its scan": plain[:-150],
        "jpeg cut at its scan": plain[:scan],
        "jpeg cut in the header of its scan": plain[: scan + 5],
        "jpeg cut in its Huffman tables": plain[: codes + 20],
        "progressive jpeg without its end": progressive[:-2],
        "progressive jpeg cut in half": progressive[: len(progressive) // 2],
        "gray jpeg cut in its scan": encode(pixels, "JPEG", "L")[:-40],
        "cmyk jpeg cut in its scan": encode(pixels, "JPEG", "CMYK")[:-40],
        "jpeg without a scan": plain[:scan] + b"\xff\xd9",
        "jpeg without quantization tables": plain[:tables] + plain[frame:],
        "jpeg of two frames": plain[:scan] + plain[frame:],
        "jpeg that starts twice": plain[:2] + plain,
        "jpeg of two components": changed(frame + 9, 2),
        "jpeg of seven components": changed(frame + 9, 7),
        "jpeg with a sampling factor of 0": changed(frame + 11, 0x00),
        "jpeg with a sampling factor of 15": changed(frame + 11, 0xFF),
        "jpeg with quantization table 9": changed(frame + 12, 9),
        "jpeg with Huffman table 9": changed(codes + 4, 9),
        "jpeg with an invalid Huffman table": changed(codes + 5, 255),
        "jpeg with a short frame": changed(frame + 3, 8),
        "jpeg with a short scan header": changed(scan + 3, 4),
        "jpeg with an unknown component in its scan": changed(scan + 5, 77),
        "jpeg with an unknown marker": plain[:2] + b"\xff\x02\0\2" + plain[2:],
    }


def _pngs():
    pixels = gradient()
    png, palette = encode(pixels, "PNG"), encode(pixels, "PNG", "P")
    body = png.index(b"IDAT")
    flipped = png[: body + 20] + bytes([png[body + 20] ^ 4]) + png[body + 21 :]
    header, end = png[:33], chunk(b"IEND", b"")
    colors, transparency = palette.index(b"PLTE") - 4, palette.index(b"IDAT") - 4

    def with_kind(depth, color, method=0):
        fields = png[16:24] + bytes([depth, color, 0, method, 0])
        return png[:8] + chunk(b"IHDR", fields) + png[33:]

    return {
        "png without its end": png[:-12],
        "png cut in its end": png[:-1],
        "png cut in its pixels": png[:-40],
        "png cut after its header": header,
        "png cut in half": encode(pixels, "PNG", "RGBA")[:90],
        "16-bit png cut in its pixels": encode(pixels, "PNG", "I;16")[:-20],
        "png without pixels": header + end,
        "png with a flipped bit": flipped,
        "png with a flipped checksum": png[:30] + bytes([png[30] ^ 1]) + png[31:],
        "png larger than its body": with_size(png, 150, 150),
        "png of pixels that are no zlib stream": header + chunk(b"IDAT", b"pixels") + end,
        "png with an invalid filter": header + chunk(b"IDAT", zlib.compress(b"\7" * 7240)) + end,
        "png without its palette": palette[:colors] + palette[transparency:],
        "png with a bit depth of 3": with_kind(3, 2),
        "png of color type 5": with_kind(8, 5),
        "png with an unknown filter method": with_kind(8, 2, 9),
        "png with an unknown critical chunk": header + chunk(b"ABCD", b"") + png[33:],
        "png with two headers": header + png[8:],
        "png with a chunk of 2 GiB": header + b"\x7f\xff\xff\xffIDAT" + png[41:],
        "png with a chunk without a name": header + chunk(b"\0\0\0\0", b"") + png[33:],
    }


def _gifs():
    gif = encode(gradient(), "GIF")
    return {
        "gif with an invalid code size": _replaced_code_size(gif),
        "gif of an invalid code": _with_frame(gif, b"\x02\x02\xff\xff\0"),
        "gif with an empty frame": _with_frame(gif, b"\x08\0"),
    }


def _frame(gif):
    return gif.index(b"\x2c\0\0\0\0")


def _replaced_code_size(gif):
    at = _frame(gif) + 10
    return gif[:at] + b"\x20" + gif[at + 1 :]


def _with_frame(gif, data):
    return gif[: _frame(gif) + 10] + data + b"\x3b"


def _bmps():
    bmp = encode(gradient(), "BMP")
    return {
        "bmp cut in its pixels": bmp[:1000],
        "bmp cut by a byte": bmp[:-1],
        "bmp cut after its header": bmp[:54],
        "bmp with pixels past its end": bmp[:10] + struct.pack("<I", 10**6) + bmp[14:],
        "bmp wider than its body": bmp[:18] + struct.pack("<i", 500) + bmp[22:],
    }
