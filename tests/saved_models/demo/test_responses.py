"""Responses of the demo page: errors of a file or a model are sentences in their place."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from saved_models.demo.models import Model, Prediction, View
from saved_models.demo.responses import NO_MEMORY, UNAVAILABLE, Responder
from saved_models.demo.uploads import ROTATED, PageLimits
from saved_models.server import ServerError, UnavailableError
from tests.export import encoded
from tests.saved_models.demo.parts import write_image


class StandIn(Model):
    """A model that predicts one class, or raises an error."""

    def __init__(self, error=None):
        self.name, self.error, self.views = "model", error, []

    def predict(self, upload, view):
        self.views.append(view)
        if self.error is not None:
            raise self.error
        return Prediction(np.zeros(upload.pixels.shape[:2], "uint8"), ("road",))


@pytest.fixture(scope="module")
def respond():
    limits = PageLimits(bytes=100_000, pixels=64 * 64)
    responder = Responder([StandIn()], limits)

    def respond(path, window=0, native=False, models=None):
        responder.models = models or [StandIn()]
        return responder(None if path is None else str(path), window, native)

    return respond


def test_each_model_has_a_part(respond, tmp_path):
    write_image(tmp_path / "a.png")
    models = [StandIn(), StandIn()]
    message, *parts = respond(tmp_path / "a.png", 32, True, models)
    assert message == ""
    assert all("100.0%" in part for part in parts)
    assert [model.views for model in models] == [[View(32, True)]] * 2
    assert respond(None, models=models) == ["", "", ""]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"some text", "Not a JPEG, PNG, GIF or BMP image. Convert"),
        (b"some text", "Received: file=&#x27;notes.txt&#x27;"),
        (b"", "No bytes."),
        (encoded.encode(encoded.gradient(), "BMP")[:-900], "corrupt or truncated"),
        (encoded.encode(encoded.gradient(65, 64), "PNG"), "64 x 65 pixels exceed the limit"),
        (encoded.with_size(encoded.encode(encoded.gradient(), "PNG"), 9999, 9999), "exceed the"),
        (b"\xff\xd8\xff" + bytes(100_000), "100003 bytes exceed the limit of 100000 bytes"),
    ],
)
def test_files_that_are_refused_are_not_predicted(content, reason, respond, tmp_path):
    (tmp_path / "notes.txt").write_bytes(content)
    model = StandIn()
    message, part = respond(tmp_path / "notes.txt", models=[model])
    assert 'role="alert"' in message
    assert reason in message
    assert str(tmp_path) not in message
    assert (part, model.views) == ("", [])


@pytest.mark.parametrize("window", [-1, 0.5, 1e400, float("nan")])
def test_invalid_windows_are_refused(window, respond, tmp_path):
    write_image(tmp_path / "a.png")
    message, part = respond(tmp_path / "a.png", window)
    assert "The window must be a positive integer" in message
    assert part == ""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ServerError("The server is <down>."), "The server is &lt;down&gt;."),
        (UnavailableError("localhost:1 refused"), f"{UNAVAILABLE} Received: localhost:1 refused"),
        (ValueError("Wrong.\nDetails"), "Wrong.<"),
        (MemoryError(), NO_MEMORY),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), NO_MEMORY),
    ],
)
def test_an_error_of_one_model_is_a_sentence_in_its_part(error, sentence, respond, tmp_path):
    write_image(tmp_path / "a.png")
    message, failed, other = respond(tmp_path / "a.png", models=[StandIn(error), StandIn()])
    assert message == ""
    assert sentence in failed
    assert "Details" not in failed
    assert "100.0%" in other


def test_rotated_photos_are_shown_as_stored_with_a_note(respond, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    write_image(tmp_path / "a.jpg", exif=exif)
    message, part = respond(tmp_path / "a.jpg")
    assert ROTATED in message
    assert "100.0%" in part
