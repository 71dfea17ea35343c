"""Decoding of images and of masks within TensorFlow graphs."""

import zlib

import tensorflow as tf

# The color types of a PNG, which its byte 25 tells.
_GRAY, _PALETTE = 0, 3
# A checksum is linear in the bits of its data: if the type changes from palette to gray, the same
# bits of it change in every file. The data are 17 bytes, the type is the 14th.
_PALETTE_DATA = bytes(13) + bytes([_PALETTE]) + bytes(3)
_PALETTE_TO_GRAY = (zlib.crc32(_PALETTE_DATA) ^ zlib.crc32(bytes(17))).to_bytes(4, "big")
_ALL_BYTES = tuple(bytes([i]) for i in range(256))


def decode_image(path):
    """Reads a JPEG, PNG or BMP as a `uint8` tensor of shape `(height, width, 3)`.

    Grays become three equal channels, and an alpha channel is left out. The palette of a PNG is
    understood, that of a BMP is not; `training.check_data` finds such files.
    """
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def decode_mask(path):
    """Reads the class ids of a mask as an `int32` tensor of shape `(height, width)`.

    Ids are the numbers that the file stores, as in `training.input.folder.read_mask`, which
    isn't called here on purpose: with Python in an endless pipeline, a process that ends waits for
    a thread that waits for the interpreter, now and then for ever.
    """
    png = tf.io.read_file(path)
    depth, color = tf.unstack(tf.ensure_shape(_bytes(png, 24, 2), (2,)))
    tf.debugging.Assert(
        tf.reduce_any(color == (_GRAY, _PALETTE)),
        ["A mask must have one channel, the class id of each pixel, or a palette.", path],
    )
    # A palette would be decoded to its colors. Declared to be gray, and without the chunks up to
    # the pixels, the palette among them, the same file is decoded to the indices.
    checksum = tf.gather(
        _ALL_BYTES, tf.bitwise.bitwise_xor(_bytes(png, 29, 4), tuple(_PALETTE_TO_GRAY))
    )
    gray = [tf.strings.substr(png, 0, 25), b"\0", tf.strings.substr(png, 26, 3)]
    header = tf.where(
        color == _PALETTE,
        tf.strings.join([*gray, tf.strings.reduce_join(checksum)]),
        tf.strings.substr(png, 0, 33),
    )
    chunks, pixels = tf.unstack(tf.strings.split(png, "IDAT", maxsplit=1), num=2)
    length = tf.strings.substr(chunks, -4, 4)
    shades = tf.io.decode_png(
        tf.strings.join([header, length, "IDAT", pixels]), channels=1, dtype="uint16"
    )
    # Shades have 16 bits. Where the file stores fewer, they are repeated to fill those.
    ids = tf.bitwise.right_shift(shades[..., 0], tf.cast(16 - depth, "uint16"))
    return tf.cast(ids, "int32")


def _bytes(string, start, length):
    return tf.cast(tf.io.decode_raw(tf.strings.substr(string, start, length), "uint8"), "int32")
