"""Encoded images are resized to a long side; their masks are those of `segment`."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_encnet.export import Limits, export_saved_model
from tests.export.exported import predict, signatures_of
from tests.fixtures import raw_images, small_encnet

SHAPES = [(61, 43), (37, 90), (5, 1)]


@pytest.fixture(scope="module")
def network():
    model = small_encnet(classes=3)
    draw = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) < 2 and not weight.path.endswith(("gamma", "variance")):
            weight.assign(draw.normal(0, 0.2, weight.shape))
    return model


def encoded(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def mask_of(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize(
    ("working_size", "options", "described"),
    [(48, {}, "a long side of 48"), ((60, 32), {}, "fit 60 x 32"), (None, {"size": 40}, "of 40")],
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
    assert export["working_size"] == (working_size or 40)


def test_size_of_all_images_overrides_the_working_size(network, tmp_path):
    network.working_size = 48
    export = export_saved_model(network, tmp_path / "1", size=(24, 32), fixed_size=True)
    assert (export["size"], export["working_size"]) == ((24, 32), None)
    with pytest.raises(ValueError, match="requires `size=.height, width.`.*working size of 48"):
        export_saved_model(network, tmp_path / "2", fixed_size=True)
    limits = Limits(tensor_pixels=48 * 36)
    with pytest.raises(ValueError, match="warm_up` must be batch sizes from 1 to 1"):
        export_saved_model(network, tmp_path / "2", limits=limits, warm_up=(2,))
    assert not (tmp_path / "2").exists()
