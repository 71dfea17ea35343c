"""Predictions of the demo page: those of `segment`, and checked responses of servers."""

import keras
import numpy as np
import pytest

import keras_encnet
from saved_models.demo.models import FIXED, WINDOWED, EncodedModel, KerasModel, View
from saved_models.demo.uploads import PageLimits
from saved_models.server import ServerError
from tests.saved_models.demo.parts import NAMES, FakeClient, mask_png, write_image

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def network(randomize):
    images = x = keras.Input((None, None, 3))
    stages = {}
    for i, stride in enumerate((4, 2, 1, 1), start=1):
        stages[f"stage{i}"] = x = keras.layers.Conv2D(6, 3, stride, padding="same")(x)
    backbone = keras.Model(images, stages)
    model = keras_encnet.EncNet(backbone, 4, channels=8, num_codewords=5, working_size=48)
    model.class_names = NAMES
    return randomize(model)


@pytest.fixture
def upload(tmp_path):
    return write_image(tmp_path / "photo.png", 60, 90)


@pytest.fixture
def served():
    model = EncodedModel("street", FakeClient("localhost:8500", "street"))
    mask = np.arange(60 * 90).reshape(60, 90) % 4
    model.client.prediction = {
        "status": "ok",
        "mask_png_bytes": mask_png(mask),
        "presence": [0.9, 0.1, 0.8, 0.2],
    }
    return model


def test_masks_are_those_of_segment_with_presence_codewords_and_gates(network, upload):
    prediction = KerasModel("encnet", network).predict(upload, View())
    np.testing.assert_array_equal(prediction.mask, network.segment(upload.pixels))
    assert (prediction.class_names, prediction.notes) == (NAMES, ())
    assert prediction.presence.shape == (4,)
    assert ((prediction.presence > 0) & (prediction.presence < 1)).all()
    np.testing.assert_allclose(prediction.assignment.sum(-1), 1, rtol=1e-5)
    assert prediction.gates.ndim == 1


def test_windows_of_the_native_size_leave_out_the_context_of_the_image(network, upload):
    model = KerasModel("encnet", network)
    prediction = model.predict(upload, View(window=60, native=True))
    expected = network.segment(upload.pixels, window=60, size="native")
    np.testing.assert_array_equal(prediction.mask, expected)
    assert (prediction.assignment, prediction.gates) == (None, None)
    assert prediction.notes == (WINDOWED,)
    assert model.predict(upload, View(window=48)).notes == ()  # one window, the resized image


def test_networks_never_process_more_pixels_at_once_than_the_limit(network, upload):
    model = KerasModel("encnet", network, PageLimits(network_pixels=40 * 40))
    assert model.predict(upload, View()).mask.shape == (60, 90)  # at the working size
    for view in (View(native=True), View(window=50, native=True), View(window=1000, native=True)):
        with pytest.raises(ValueError, match="choose a window of fewer pixels"):
            model.predict(upload, view)


def test_networks_of_other_images_are_refused(tiny_backbone):
    network = keras_encnet.FCN(tiny_backbone(1), 4, include_preprocessing=False)
    with pytest.raises(ValueError, match="model='gray', which takes 1"):
        KerasModel("gray", network)


def test_networks_without_presence_and_codewords_have_a_mask(tiny_backbone, upload):
    network = keras_encnet.FCN(tiny_backbone(), 4)
    prediction = KerasModel("fcn", network).predict(upload, View(window=60, native=True))
    assert (prediction.presence, prediction.assignment, prediction.notes) == (None, None, ())


def test_predictions_of_a_server(served, upload):
    prediction = served.predict(upload, View())
    np.testing.assert_array_equal(prediction.mask.ravel(), np.arange(60 * 90) % 4)
    assert (prediction.class_names, prediction.notes) == (NAMES, ())
    assert prediction.presence.tolist() == [0.9, 0.1, 0.8, 0.2]
    assert served.predict(upload, View(window=24)).notes == (FIXED,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "The image is corrupt or truncated."}, "corrupt"),
        ({"mask_png_bytes": b"no image"}, "malformed.*not a complete PNG"),
        ({"mask_png_bytes": mask_png([[0, 1]])}, r"malformed.*expected a mask of \(60, 90\)"),
        ({"mask_png_bytes": mask_png(np.full((60, 90), 4))}, "malformed.*ids up to 4"),
        ({"presence": [0.5]}, "malformed.*each of 4 classes"),
        ({"presence": [0.5, 0.5, None, 0.5]}, "malformed"),
    ],
)
def test_malformed_responses_are_errors_of_the_server(changes, reason, served, upload):
    served.client.prediction |= changes
    with pytest.raises(ServerError, match=reason):
        served.predict(upload, View())


def test_classifiers_on_a_server_are_refused(served, upload):
    served.client.outputs = ("probabilities", "class_name", "status")
    with pytest.raises(ServerError, match=r"return masks.*'probabilities'"):
        served.predict(upload, View())
