"""SavedModels, for programs that have TensorFlow and not Keras, TensorFlow Serving among them."""

import math
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_encnet.export.image_bytes import Limits
from keras_encnet.export.model_card import describe, model_card
from keras_encnet.export.network import Network, check_exportable
from keras_encnet.export.signatures import ClassificationSignatures, SegmentationSignatures
from keras_encnet.export.warm_up import write_warm_up_requests
from keras_encnet.labels import default_palette
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.utils.checks import is_count
from keras_encnet.utils.files import atomic_folder

DEFAULT_SIZE = (512, 512)


def export_saved_model(
    model,
    path,
    size=None,
    fixed_size=False,
    precision="float32",
    fold=True,
    freeze=True,
    probabilities=False,
    palette=None,
    limits=None,
    warm_up=(),
    origin=None,
    scores=None,
):
    """Writes a SavedModel that takes raw images, whole or not at all.

    It reads without Keras and without this package. Its signatures, of which
    every input and output has the batch as its first axis:

    - `serving_default`: `image_bytes`, encoded JPEG, PNG, GIF or BMP images of
      any sizes, resized to `size` within, to `status` (`"ok"`, or why the
      image was refused), `mask_png_bytes` (an indexed PNG of the image's own
      size, its pixels class ids; 16-bit gray above 256 classes; empty for a
      refused image) and `presence`, probabilities `(batch, classes)`, where
      the model predicts it.
    - `tensors` and `tensors_uint8`: `images`, `(batch, height, width, 3)`, RGB
      in 0 to 255, to `classes`, `(batch, height, width)`, uint8 (int32 above
      256 classes), `presence`, and `probabilities` if asked for.
    - `metadata`: `query`, any strings, to `class_names`, `palette` and
      `description` (JSON).

    Of a `ClassificationModel`, the images' signatures return `probabilities`,
    `(batch, classes)`, and `class_name`, that of the most probable.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        path: a folder that doesn't exist yet. TensorFlow Serving wants
            `<name>/<version>`, such as `street/1`.
        size: `(height, width)` that encoded images are resized to: by default
            what the model's input says, or 512 x 512. Not padded: a padding
            would enter the code of the image and change its answer.
        fixed_size: whether `tensors` and `tensors_uint8` take images of `size`
            alone, which a server can then put together in batches.
        precision: `"float32"` or `"bfloat16"`, see `with_precision`.
        fold: whether to fold batch normalization.
        freeze: whether to store variables as constants.
        probabilities: whether `tensors` answers with those of each pixel.
        palette: uint8 array `(classes, 3)`, by default `labels.default_palette`.
        limits: `Limits` on a request.
        warm_up: batch sizes of the warm-up requests to write, which a server
            answers before it is ready. Needs `keras-encnet[serve]`.
        origin: text for the model card, where the weights come from.
        scores: dict of scores for the model card.

    Returns:
        What `description` says of the export, a dict.

    Raises:
        FileExistsError: if `path` exists.
        ValueError: for another model, or an argument outside the above.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(
            f"Exports are never written over: choose another version. Received: path={str(path)!r}"
        )
    check_exportable(model)
    limits = limits or Limits()
    fixed_size = fixed_size or None not in model.input.shape[1:3]
    size = _checked_size(size, model.input.shape[1:3], limits)
    _check_warm_up(warm_up, size, limits)
    palette = _checked_palette(palette, model.classes)
    network = Network(model, fold, freeze, precision, size if fixed_size else None)
    description = describe(
        model,
        size=size,
        fixed_size=fixed_size,
        precision=precision,
        folded=fold,
        frozen=freeze,
        limits=limits,
        origin=origin,
        scores=scores,
    )
    arguments = {
        "network": network,
        "size": size,
        "limits": limits,
        "class_names": model.class_names,
        "palette": palette,
        "description": description,
    }
    if isinstance(model, SegmentationModel):
        signatures = SegmentationSignatures(probabilities, **arguments)
    else:
        signatures = ClassificationSignatures(**arguments)

    with atomic_folder(path) as place:
        functions = signatures.functions()
        _write(signatures, functions, place, model.class_names, palette)
        if warm_up:
            write_warm_up_requests(place, path.parent.name, size, warm_up)
        (place / "model_card.md").write_text(model_card(description, functions, path))
    return description


def _write(signatures, functions, place, class_names, palette):
    with tempfile.TemporaryDirectory() as folder:
        signatures.assets = [
            _asset(Path(folder) / "class_names.txt", class_names),
            _asset(Path(folder) / "palette.txt", (" ".join(map(str, color)) for color in palette)),
        ]
        tf.saved_model.save(signatures, place, functions)


def _asset(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return tf.saved_model.Asset(str(path))


def _checked_size(size, own_size, limits):
    own = tuple(own_size) if None not in own_size else None
    size = tuple(size or own or DEFAULT_SIZE)
    if len(size) != 2 or not all(0 < side <= limits.side for side in size):
        raise ValueError(
            f"`size` must be `(height, width)`, each from 1 to {limits.side}. Received: size={size}"
        )
    if own and size != own:
        raise ValueError(
            f"The model takes images of {own} alone: leave `size` out. Received: size={size}"
        )
    return size


def _check_warm_up(batch_sizes, size, limits):
    """A server doesn't load a version that refuses its own warm-up requests."""
    most = min(limits.images, limits.tensor_pixels // math.prod(size))
    if not all(is_count(count, least=1) and count <= most for count in batch_sizes):
        raise ValueError(
            f"`warm_up` must be batch sizes from 1 to {most}: `limits` lets a request have "
            f"{limits.images} images and {limits.tensor_pixels:,} pixels, and one has "
            f"{math.prod(size):,}. Received: warm_up={tuple(batch_sizes)}"
        )


def _checked_palette(palette, classes):
    palette = np.asarray(default_palette(classes) if palette is None else palette)
    if palette.shape != (classes, 3) or palette.dtype.kind not in "ui":
        raise ValueError(
            f"`palette` must have the shape ({classes}, 3), a color per class, in integers from 0 "
            f"to 255. Received: palette.shape={palette.shape}, dtype={palette.dtype}"
        )
    if palette.min() < 0 or palette.max() > 255:
        raise ValueError(
            "`palette` must hold integers from 0 to 255. "
            f"Received: values from {palette.min()} to {palette.max()}"
        )
    return palette.astype("uint8")
