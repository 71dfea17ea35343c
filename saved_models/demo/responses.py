"""What the page shows for an upload: one part per model, errors as sentences."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from saved_models.demo import drawing
from saved_models.demo.models import Model, View
from saved_models.demo.uploads import PageLimits, Upload, UploadReader
from saved_models.server import ServerError, UnavailableError

# What an image from an unknown source may raise.
ERRORS = (ValueError, OSError, MemoryError, ServerError, tf.errors.OpError)
UNAVAILABLE = "The server is unreachable or busy: try again, or check that it runs at this address."
NO_MEMORY = "There is too little memory for this image: choose a window of fewer pixels."


class Responder:
    """Maps an upload and a view to HTML: a message, and one part per model.

    Args:
        models: the models.
        limits: limits on one image.

    Call arguments:
        path: the uploaded file, or None if there is none.
        window: height and width of the windows; 0 or None for the entire image.
        native: whether the image keeps its size.
    """

    def __init__(self, models: Sequence[Model], limits: PageLimits = PageLimits()):  # noqa: B008
        self.models, self.read = models, UploadReader(limits)

    def __call__(
        self, path: str | None, window: float | None = None, native: bool = False
    ) -> list[str]:
        if path is None:
            return ["", *("" for _ in self.models)]
        try:
            upload = self.read(Path(path))
            view = View(checked_window(window), native)
        except ERRORS as error:
            return [drawing.alert(sentence(error)), *("" for _ in self.models)]
        notes = "".join(drawing.note(text) for text in upload.notes)
        return [notes, *(_part(model, upload, view) for model in self.models)]


def checked_window(window: float | None) -> int | None:
    """Returns the height and width of windows as an integer, None for 0, the entire image.

    Raises:
        ValueError: if it is not an integer, or is negative.
    """
    if not window:
        return None
    if not (window > 0 and float(window).is_integer()):
        raise ValueError(
            "The window must be a positive integer, or 0 for the entire image. "
            f"Received: window={window:g}"
        )
    return int(window)


def sentence(error: BaseException) -> str:
    """Returns an error as a sentence, without the details in messages of TensorFlow."""
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return NO_MEMORY
    if isinstance(error, UnavailableError):
        return f"{UNAVAILABLE} Received: {error}"
    message = error.message if isinstance(error, tf.errors.OpError) else str(error)
    return message.partition("\n")[0] or type(error).__name__


def _part(model: Model, upload: Upload, view: View) -> str:
    try:
        return drawing.result(model.name, upload, model.predict(upload, view))
    except ERRORS as error:
        return drawing.heading(model.name) + drawing.alert(sentence(error))
