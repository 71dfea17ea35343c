"""HTML of the demo page: numbers, colors, escaping and downloads."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from keras_encnet.labels import default_palette
from saved_models.demo import drawing
from saved_models.demo.models import Prediction
from tests.saved_models.demo.parts import HOSTILE, NAMES, embedded, rows_of, write_image


@pytest.fixture
def prediction():
    mask = np.repeat([0, 1, 2], [600, 354, 6]).reshape(24, 40).astype("uint8")
    return Prediction(mask, NAMES, np.array([0.3, 0.99, 0.6, 0.8]), notes=("A <note>.",))


def test_legend_states_share_and_presence_of_each_class(prediction):
    assert rows_of(drawing.legend(prediction)) == [
        ["road", "62.5%", "30% contradicts the mask"],
        [HOSTILE, "36.9%", "99%"],
        ["car", "0.6%", "60%"],
        ["dog", "0.0%", "80%"],
    ]
    without = Prediction(prediction.mask, NAMES)
    assert rows_of(drawing.legend(without))[0] == ["road", "62.5%"]
    for color in default_palette(4).tolist():
        assert f"rgb{tuple(color)}" in drawing.legend(prediction)


def test_names_and_notes_are_escaped(prediction, tmp_path):
    upload = write_image(tmp_path / "a<b>'\".png")
    page = drawing.result("<i>model</i>", upload, prediction) + drawing.alert("<b>")
    for markup in ("<script", "<i>", "<note>", "<b>"):
        assert markup not in page
    assert "&lt;script&gt;" in page


def test_overlay_shows_the_image_below_the_colors_of_the_classes(prediction, tmp_path):
    upload = write_image(tmp_path / "a.png")
    upload.pixels[:] = 200
    page = drawing.result("model", upload, prediction)
    image, mask = (Image.open(io.BytesIO(embedded(page, tag))) for tag in ("image", "mask"))
    assert image.size == mask.size == (40, 24)
    np.testing.assert_allclose(np.asarray(image), 200, atol=3)
    np.testing.assert_array_equal(np.asarray(mask), default_palette(4)[prediction.mask])


def test_large_images_are_reduced_for_display_only():
    mask = np.zeros((10, 5000), "uint8")
    page = drawing.overlay(np.zeros((10, 5000, 3), "uint8"), mask, 2)
    assert Image.open(io.BytesIO(embedded(page, "mask"))).width <= 2048
    page = drawing.downloads("model", drawing.Path("a.jpg"), Prediction(mask, ("a", "b")))
    assert Image.open(io.BytesIO(embedded(page, "Download mask"))).size == (5000, 10)


def test_downloads_are_an_indexed_mask_and_the_numbers_as_json(prediction, tmp_path):
    upload = write_image(tmp_path / "photo.jpg")
    page = drawing.result("model", upload, prediction)
    mask = Image.open(io.BytesIO(embedded(page, "Download mask")))
    assert mask.mode == "P"
    np.testing.assert_array_equal(np.asarray(mask), prediction.mask)
    np.testing.assert_array_equal(np.reshape(mask.getpalette()[:12], (4, 3)), default_palette(4))
    assert 'download="photo.png"' in page
    record = json.loads(embedded(page, "Download JSON"))
    assert (record["image"], record["model"]) == ("photo.jpg", "model")
    assert record["height_and_width"] == [24, 40]
    assert record["shares"] == {"road": 0.625, HOSTILE: 354 / 960, "car": 6 / 960}
    assert record["presence"]["dog"] == 0.8


def test_codewords_and_gates_are_drawn_if_they_are_known(prediction, tmp_path):
    upload = write_image(tmp_path / "a.png")
    assert "Codewords" not in drawing.result("fcn", upload, prediction)
    known = Prediction(
        prediction.mask, NAMES, None, np.full((3, 5, 9), 1 / 9), np.linspace(0, 1, 20)
    )
    figure = embedded(drawing.context(known), "assignment of pixels to codewords, and gates")
    assert Image.open(io.BytesIO(figure)).width > 500
