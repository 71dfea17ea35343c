"""Export to SavedModel, for TensorFlow Serving and other programs without Keras."""

import dataclasses
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.export.image_bytes import Limits
from keras_encnet.export.model_card import describe, model_card
from keras_encnet.export.network import InferenceNetwork, check_exportable
from keras_encnet.export.signatures import (
    ClassificationSignatures,
    SegmentationSignatures,
    Signatures,
)
from keras_encnet.export.warm_up import protocol_buffers, write_warm_up_requests
from keras_encnet.labels import default_palette
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.utils.checks import is_count
from keras_encnet.utils.files import atomic_folder
from keras_encnet.utils.sizes import NATIVE, Size, WorkingSize, scaled_size

# Size that classifiers without an input size get encoded images at.
DEFAULT_SIZE = (512, 512)
# Height and width of the image in warm-up requests, before it is resized.
PHOTO = (384, 512)


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    size: Size = None,
    fixed_size: bool = False,
    precision: str = "float32",
    fold: bool = True,
    freeze: bool = True,
    probabilities: bool = False,
    palette: np.ndarray | None = None,
    limits: Limits | None = None,
    warm_up: Sequence[int] = (),
    origin: str | None = None,
    scores: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes a SavedModel that takes raw images. The write is atomic.

    Reading it requires neither Keras nor this package. In its signatures, the batch is the first
    axis of every input and output:

    - `serving_default`: from `image_bytes`, encoded JPEG, PNG, GIF or BMP images of any size, to
      `status` (`"ok"`, or why the image was refused), `mask_png_bytes` (an indexed PNG of the size
      of the image whose pixels are class ids; 16-bit grayscale above 256 classes; empty for a
      refused image) and, if the model predicts it, `presence`, probabilities `(batch, classes)`.
      Only for models of gray or RGB images with values in 0 to 255.
    - `tensors` and `tensors_uint8`: from `images`, `(batch, height, width, channels)`, raw, which
      are not resized, to `classes`, `(batch, height, width)`, uint8 (int32 above 256
      classes), `presence`, and optionally `probabilities`.
    - `metadata`: from `query`, any strings, to `class_names`, `palette` and `description` (JSON).

    For a `ClassificationModel`, the signatures for images return `probabilities`,
    `(batch, classes)`, and `class_name`, that of the most probable class.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: the folder, which must not exist. TensorFlow Serving expects `<name>/<version>`, such
            as `street/1`.
        size: size that encoded images are resized to: an integer, their long side, with the aspect
            ratio kept, or `"native"`, their own size, so that masks are those of
            `model.segment(images, size=size)`; or `(height, width)`. Defaults to the input size of
            the model, otherwise to its working size, native if it has none (512x512 for
            classifiers). Images are not padded, since padding would enter the code of the image
            and change the prediction. Images of `(height, width)` are run together, others one by
            one. Those at their own size may have `limits.tensor_pixels` pixels.
        fixed_size: whether `tensors` and `tensors_uint8` only take images of `size`, which must be
            `(height, width)`. This allows a server to batch them.
        precision: `"float32"` or `"bfloat16"`, see `with_precision`. The latter also stores the
            weights of these convolutions in bfloat16.
        fold: whether to fold batch normalization.
        freeze: whether to store variables as constants. In float32 this takes less time per image,
            since TensorFlow can arrange constant weights once. Without it, loading takes less time
            and memory.
        probabilities: whether `tensors` returns the probabilities of each pixel as well.
        palette: `(classes, 3)`, integers from 0 to 255. Defaults to `labels.default_palette`.
        limits: `Limits` on one request.
        warm_up: batch sizes of the warm-up requests, which a server runs before the version is
            available. They require the package tensorflow-serving-api.
        origin: origin of the weights, for the model card.
        scores: scores for the model card.

    Returns:
        The description of the export, for JSON.

    Raises:
        FileExistsError: if `path` exists.
        MissingPackageError: if `warm_up` is not empty and tensorflow-serving-api is not installed.
        ValueError: for a model of another class, or an argument outside the above.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(
            f"Exports are never overwritten: choose another version. Received: path={str(path)!r}"
        )
    check_exportable(model)
    limits = limits or Limits()
    fixed_size = fixed_size or None not in model.input.shape[1:3]
    exact, working_size = _checked_size(size, model, fixed_size, limits)
    if exact is None and working_size is None:  # the network gets images as they are
        pixels = min(limits.pixels, limits.tensor_pixels)
        limits = dataclasses.replace(limits, pixels=pixels)
    photo = exact or tuple(scaled_size(PHOTO, working_size).numpy().tolist())
    _check_warm_up(warm_up, photo, limits)
    if warm_up:
        protocol_buffers()  # raises before anything is computed
    palette = _checked_palette(palette, model.classes)
    network = InferenceNetwork(model, fold, freeze, precision, exact if fixed_size else None)
    description = describe(
        model,
        size=exact,
        working_size=working_size,
        fixed_size=fixed_size,
        precision=precision,
        folded=fold,
        frozen=freeze,
        limits=limits,
        encoded_images=network.takes_files,
        origin=origin,
        scores=scores,
    )
    arguments = {
        "network": network,
        "size": exact,
        "limits": limits,
        "class_names": model.class_names,
        "palette": palette,
        "description": description,
    }
    if isinstance(model, SegmentationModel):
        signatures: Signatures = SegmentationSignatures(probabilities, working_size, **arguments)
    else:
        signatures = ClassificationSignatures(**arguments)

    with atomic_folder(path) as folder:
        functions = signatures.functions()
        _save(signatures, functions, folder, model.class_names, palette)
        if warm_up:
            shape = (*photo, model.channels)
            write_warm_up_requests(folder, path.parent.name, shape, warm_up, functions)
        (folder / "model_card.md").write_text(model_card(description, functions, path))
    return description


def _save(signatures, functions, folder, class_names, palette):
    """Saves the signatures with class names and palette as assets."""
    with tempfile.TemporaryDirectory() as assets:
        signatures.assets = [
            _asset(Path(assets) / "class_names.txt", class_names),
            _asset(Path(assets) / "palette.txt", (" ".join(map(str, color)) for color in palette)),
        ]
        # Exports are not trained, and gradients of the swish activation cannot be saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(signatures, folder, functions, options)


def _asset(path: Path, lines: Iterable[str]) -> tf.saved_model.Asset:
    path.write_text("".join(f"{line}\n" for line in lines))
    return tf.saved_model.Asset(str(path))


def _checked_size(
    size: Any, model: keras.Model, fixed_size: bool, limits: Limits
) -> tuple[tuple[int, ...] | None, WorkingSize]:
    """Returns the size of all resized images, or None and the working size of each."""
    own = tuple(model.input.shape[1:3])
    own_size = None if None in own else own
    keeps_shape = size is None or is_count(size, least=1) or isinstance(size, str)
    if own_size is None and keeps_shape and isinstance(model, SegmentationModel):
        working_size = model.chosen_size(size)
        if fixed_size:
            raise ValueError(
                "`fixed_size=True` requires `size=(height, width)`: images of one long side have "
                f"several sizes. Received: size={size!r}, for a working size of "
                f"{working_size or NATIVE}"
            )
        return None, working_size
    exact = (own_size or DEFAULT_SIZE) if size is None else size
    sides = tuple(exact) if isinstance(exact, Sequence) else ()
    if len(sides) != 2 or not all(is_count(x, 1) and x <= limits.side for x in sides):
        raise ValueError(
            f"`size` must be `(height, width)`, each from 1 to {limits.side}, or for segmentation "
            f"at any size an integer, the long side, or 'native'. Received: size={size!r}"
        )
    if own_size and sides != own_size:
        raise ValueError(
            f"The input size of the model is {own_size}: omit `size`. Received: size={size!r}"
        )
    return sides, None


def _check_warm_up(batch_sizes, size, limits):
    """Raises ValueError for requests above the limits, with which a server fails to start."""
    most = min(limits.images, limits.tensor_pixels // math.prod(size))
    if not all(is_count(count, least=1) and count <= most for count in batch_sizes):
        raise ValueError(
            f"`warm_up` must be batch sizes from 1 to {most}: `limits` allows {limits.images} "
            f"images and {limits.tensor_pixels:,} pixels per request, and an image has "
            f"{math.prod(size):,} pixels. Received: warm_up={tuple(batch_sizes)}"
        )


def _checked_palette(palette, classes):
    palette = np.asarray(default_palette(classes) if palette is None else palette)
    if palette.shape != (classes, 3) or palette.dtype.kind not in "ui":
        raise ValueError(
            f"`palette` must be integers of shape ({classes}, 3), one color per class. "
            f"Received: palette.shape={palette.shape}, dtype={palette.dtype}"
        )
    if palette.min() < 0 or palette.max() > 255:
        raise ValueError(
            "`palette` must be integers from 0 to 255. "
            f"Received: values from {palette.min()} to {palette.max()}"
        )
    return palette.astype("uint8")
