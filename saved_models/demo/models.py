"""What the page asks: Keras models, SavedModels, and models on a server."""

import abc
import dataclasses
import io
import math

import numpy as np
from PIL import Image

import keras_encnet
from keras_encnet.graph.compiled import CompiledOutputs, checked_overlap, is_split
from keras_encnet.utils.numerics import sigmoid
from keras_encnet.utils.sizes import Size
from saved_models.demo.uploads import PageLimits, Upload
from saved_models.predictions import MASK, predict_file
from saved_models.server import Client, ServerError, expected_structure
from training.figures import codewords

FIXED = "The window and the native size have no effect: an exported model resizes images itself."
WINDOWED = "Codewords, gates and presence are those of windows; only presence is shown."


@dataclasses.dataclass(frozen=True)
class View:
    """How a network sees an image.

    Attributes:
        window: height and width of the windows, or None for the entire image.
        native: whether the image keeps its size, in place of the working size of the model.
    """

    window: int | None = None
    native: bool = False


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The prediction for an image.

    Attributes:
        mask: class ids `(height, width)`.
        class_names: one name per class.
        presence: probability that each class is present, `(classes,)`, if the model predicts it.
        assignment: weights of the codewords, `(rows, columns, codewords)`, if known.
        gates: `(channels,)`, if known.
        notes: sentences about the prediction.
    """

    mask: np.ndarray
    class_names: tuple[str, ...]
    presence: np.ndarray | None = None
    assignment: np.ndarray | None = None
    gates: np.ndarray | None = None
    notes: tuple[str, ...] = ()


class Model(abc.ABC):
    """A model with a name."""

    name: str

    @abc.abstractmethod
    def predict(self, upload: Upload, view: View) -> Prediction:
        """Predicts an image.

        Raises:
            ValueError: if the image or the view is out of range.
            ServerError: if a server does not respond as expected.
        """


class KerasModel(Model):
    """A segmentation model in this process.

    Args:
        name: the name on the page.
        network: the model, which takes raw RGB images.
        limits: limits on one image.

    Raises:
        ValueError: if the model takes other images.
    """

    def __init__(
        self,
        name: str,
        network: keras_encnet.SegmentationModel,
        limits: PageLimits = PageLimits(),  # noqa: B008
    ):
        if network.channels != 3 or not network.expected_images.has_bytes:
            raise ValueError(
                "The page shows images with three channels and values in 0 to 255. "
                f"Received: model={name!r}, which takes {network.channels} channels"
                + (f" with the mean {network.expected_images.mean}" * (network.channels == 3))
            )
        self.name, self.network, self.limits = name, network, limits
        tensors = {k: v for k, v in network.output.items() if k in ("segmentation", "presence")}
        self.in_windows = CompiledOutputs(network, tensors)
        if codewords.has_codewords(network):
            tensors |= codewords.tensors(network)
        self.entire = CompiledOutputs(network, tensors)

    def predict(self, upload: Upload, view: View) -> Prediction:
        checked_overlap(view.window, None)
        size: Size = "native" if view.native else None
        seen = self.network.network_size(upload.pixels.shape[:2], size)
        split = is_split(seen, view.window)
        self._check_size(seen, view.window if split else None)
        compute = self.in_windows if split else self.entire
        outputs = compute(upload.pixels[None], view.window, size=seen)
        presence = sigmoid(outputs["presence"][0]) if "presence" in outputs else None
        context = {k: x[0] for k, x in outputs.items() if k in ("assignment", "gates")}
        notes = (WINDOWED,) if split and codewords.has_codewords(self.network) else ()
        return Prediction(
            outputs["classes"][0], self.network.class_names, presence, **context, notes=notes
        )

    def _check_size(self, seen, window):
        """Raises ValueError if the network would process too many pixels at once."""
        height, width = seen if window is None else (min(side, window) for side in seen)
        if height * width > self.limits.network_pixels:
            raise ValueError(
                f"The network would process {height} x {width} pixels at once, more than the limit "
                f"of {self.limits.network_pixels} pixels: choose a window of fewer pixels. "
                f"Received: window={window}"
            )


class EncodedModel(Model):
    """A model that takes image files: a SavedModel in this process or on a server.

    Args:
        name: the name on the page.
        client: its client. It is asked for the class names each time, as a server may load another
            version of the model at any time.
    """

    def __init__(self, name: str, client: Client):
        self.name, self.client = name, client

    def predict(self, upload: Upload, view: View) -> Prediction:
        inputs, outputs = self.client.signature()
        if inputs != {"image_bytes"} or MASK not in outputs:
            raise ServerError(
                "The model must take encoded images and return masks. "
                f"Received: inputs={sorted(inputs)}, outputs={sorted(outputs)}"
            )
        result = predict_file(self.client, upload.path, outputs)
        if result.mask is None:
            raise ServerError(result.error)
        class_names = tuple(self.client.class_names())
        with expected_structure():
            mask = _decoded(result.mask, upload.pixels.shape[:2], len(class_names))
            presence = _checked(result.outputs.get("presence"), len(class_names))
        return Prediction(mask, class_names, presence, notes=(FIXED,) if view != View() else ())


def _decoded(png, size, classes):
    """Returns the class ids in a mask, which may be that of another image or model."""
    mask = np.asarray(Image.open(io.BytesIO(png)))
    if mask.shape != size or mask.max() >= classes:
        raise ValueError(
            f"expected a mask of {size} with class ids below {classes}, received one of "
            f"{mask.shape} with ids up to {mask.max()}"
        )
    return mask


def _checked(presence, classes):
    if presence is None:
        return None
    if len(presence) != classes or not all(math.isfinite(p) for p in presence):
        raise ValueError(f"expected one probability of presence for each of {classes} classes")
    return np.asarray(presence)
