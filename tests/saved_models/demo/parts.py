"""What tests of the demo page share: uploads, a client without a server, and reading of HTML."""

import base64
import html
import io
import re

import numpy as np
from PIL import Image

from saved_models.demo.uploads import Upload
from saved_models.server import Client

HOSTILE = '<script>alert(1)</script>${x} & "sky"'
NAMES = ("road", HOSTILE, "car", "dog")


def write_image(path, height=24, width=40, seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), "uint8")
    Image.fromarray(pixels).save(path, **options)
    return Upload(path, pixels)


def mask_png(mask):
    file = io.BytesIO()
    Image.fromarray(np.asarray(mask, "uint8")).save(file, "PNG")
    return file.getvalue()


class FakeClient(Client):
    """A client with the given prediction for each image."""

    outputs = ("mask_png_bytes", "presence", "status")
    names = NAMES

    def __post_init__(self):
        self.prediction = {"status": "ok"}

    def status(self):
        return {1: "AVAILABLE"}

    def signature(self):
        return {"image_bytes"}, set(self.outputs)

    def class_names(self):
        return list(self.names)

    def predict(self, images):
        return [self.prediction]


def rows_of(text):
    """Returns the cells of the rows of a table, without the header."""
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", text)]
    return [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in rows if row]


def embedded(text, tag):
    """Returns the bytes in the data URLs of `<img alt=tag>` or `<a>tag</a>`."""
    patterns = f'src="data:[^,]*,([^"]*)" alt="{tag}"', f'href="data:[^,]*,([^"]*)">{tag}</a>'
    [found] = [match for pattern in patterns for match in re.findall(pattern, text)]
    return base64.b64decode(found)
