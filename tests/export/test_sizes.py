"""Encoded images are resized to a long side; their masks are those of `segment`."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_encnet import EncNet
from keras_encnet.export import Limits, export_saved_model
from tests.export.exported import predict, signatures_of
from tests.fixtures import raw_images

SHAPES = [(61, 43), (37, 90), (5, 1)]


@pytest.fixture
def network(tiny_backbone, randomize):
    return randomize(EncNet(tiny_backbone(), 3, channels=8, num_codewords=4, auxiliary="none"))


def encoded(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def mask_of(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize(
    ("working_size", "options", "described"),
    [
        ((60, 32), {}, "fit 60 x 32"),
        pytest.param(48, {}, "a long side of 48", marks=pytest.mark.slow),
        pytest.param(None, {"size": 40}, "a long side of 40", marks=pytest.mark.slow),
        (None, {}, "not resized"),
        pytest.param(48, {"size": "native"}, "not resized", marks=pytest.mark.slow),
    ],
)
def test_masks_are_those_of_segment(working_size, options, described, network, tmp_path):
    network.working_size = working_size
    export = export_saved_model(network, tmp_path / "1", freeze=False, **options)
    images = [raw_images(1, *shape)[0] for shape in SHAPES]
    outputs = predict(signatures_of(tmp_path / "1"), *map(encoded, images), b"no image")
    for image, png, presence in zip(
        images, outputs["mask_png_bytes"], outputs["presence"], strict=False
    ):
        expected = network.segment(image, **options)
        assert (mask_of(png) == expected).mean() > 0.99
        seen = network.resized(image[None], **{"working_size": options.get("size")})
        logits = network(seen)["presence"][0]
        np.testing.assert_allclose(presence, 1 / (1 + np.exp(-logits)), atol=1e-4)
    assert outputs["status"].tolist()[:3] == [b"ok"] * 3
    assert outputs["mask_png_bytes"][3] == b""
    assert not outputs["presence"][3].any()
    assert described in (tmp_path / "1" / "model_card.md").read_text()
    assert export["size"] is None
    assert export["working_size"] == network.chosen_size(options.get("size"))


def test_images_at_their_own_size_are_refused_beyond_what_the_network_may_process(
    network, tmp_path
):
    limits = Limits(tensor_pixels=1000)
    export_saved_model(network, tmp_path / "1", limits=limits)
    images = [raw_images(1, *shape)[0] for shape in [(20, 50), (20, 51)]]
    outputs = predict(signatures_of(tmp_path / "1"), *map(encoded, images))
    assert outputs["status"].tolist() == [
        b"ok",
        b"51 x 20 pixels exceed the limit of 1000 pixels, 32768 per side.",
    ]
    assert "1,000 pixels each" in (tmp_path / "1" / "model_card.md").read_text()


def test_options_for_images_of_one_size_require_one(network, tmp_path):
    network.working_size = 48
    with pytest.raises(ValueError, match="requires `size=.height, width.`.*working size of 48"):
        export_saved_model(network, tmp_path / "1", fixed_size=True)
    limits = Limits(tensor_pixels=48 * 36)
    with pytest.raises(ValueError, match="warm_up` must be batch sizes from 1 to 1"):
        export_saved_model(network, tmp_path / "1", limits=limits, warm_up=(2,))
    assert not (tmp_path / "1").exists()
