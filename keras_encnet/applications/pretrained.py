"""Published weights: their table, download, verification and conversion.

The files are those that their authors published for PyTorch. Reading one requires torch
(`python -m pip install torch`). The converted Keras weights are cached and do not.
"""

import functools
import hashlib
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_encnet.applications.published import Published, table
from keras_encnet.backbones import preprocessing_of
from keras_encnet.graph.channels import fitted, image_convolutions, load_weights
from keras_encnet.models.structure import resolve
from keras_encnet.pytorch import from_pytorch
from keras_encnet.pytorch.reading import NotACheckpointError, unpacked
from keras_encnet.utils.downloads import keras_home, naming_download
from keras_encnet.utils.files import atomic_file
from keras_encnet.utils.sizes import Size


def available(network: str | None = None, dataset: str | None = None) -> tuple[Published, ...]:
    """Returns the published models.

    >>> [entry.weights for entry in available("EncNet101", "pascal_context")]
    ['pascal_context_official']

    Args:
        network: only those of this network, such as `"EncNet50"`. All by default.
        dataset: only those of this data set, see `Published`. All by default.

    Raises:
        ValueError: for a network or a data set without published weights.
    """
    for argument, value in (("network", network), ("dataset", dataset)):
        found = sorted({getattr(entry, argument) for entry in table()})
        if value is not None and value not in found:
            raise ValueError(f"`{argument}` must be one of {found}. Received: {argument}={value!r}")
    return tuple(
        entry
        for entry in table()
        if network in (None, entry.network) and dataset in (None, entry.dataset)
    )


def find(network: str, weights: str | os.PathLike | None) -> Published | None:
    """Returns the published model of that network and name, or None."""
    return next((entry for entry in available(network) if entry.weights == weights), None)


def fetch(entry: Published, folder: str | os.PathLike | None = None) -> Path:
    """Returns the path of a published model's Keras weights.

    The first call downloads the checkpoint, verifies its hash and converts it. Files are written
    atomically, so interrupted and simultaneous calls are safe.

    Args:
        entry: a `Published`.
        folder: the cache, by default `models/keras_encnet` in `$KERAS_HOME` or in `~/.keras`.

    Returns:
        Path of a `.weights.h5` file of the model.

    Raises:
        ValueError: if the downloaded file is not the published one.
        OSError: if it cannot be downloaded or written.
        MissingPackageError: if it has to be converted and torch is not installed.
    """
    folder = Path(folder or keras_home() / "models" / "keras_encnet")
    converted = folder / f"{Path(entry.file_name).stem}.weights.h5"
    if not converted.exists():
        checkpoint = _download(entry, folder / entry.file_name)
        model = from_pytorch(
            checkpoint,
            align_corners=entry.structure.get("align_corners"),
            output_stride=entry.structure.get("output_stride"),
        )
        with atomic_file(converted) as temporary:
            model.save_weights(temporary)
    return converted


def _download(entry, path):
    """Downloads a checkpoint unless `path` already holds it, and returns `path`."""
    if path.exists() and _digest(path, entry.algorithm).startswith(entry.digest):
        return path
    with atomic_file(path) as temporary:
        with naming_download(entry.url, f"If you have the file, save it as {path}."):
            keras.utils.get_file(temporary.name, entry.url, cache_dir=path.parent, cache_subdir="")
        digest = _digest(temporary, entry.algorithm)
        if not digest.startswith(entry.digest):
            raise ValueError(
                f"The file at {entry.url} is not the published one: its {entry.algorithm} should "
                f"start with {entry.digest}. It was deleted; if you have the published file, save "
                f"it as {path}. Received: {digest}"
            )
    return path


def _digest(path, algorithm):
    """Returns the hash of a checkpoint; if it is in an archive, of the file in the archive.

    The official code verifies its archives that way.
    """

    def digest(file):
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, algorithm).hexdigest()

    try:
        with unpacked(path) as inner:
            return digest(inner)
    except (NotACheckpointError, zipfile.BadZipFile, zlib.error, RuntimeError):
        return digest(path)  # an archive of something else


def build(
    entry: Published,
    head: str,
    builder: Callable[..., keras.Model],
    classes: int | None = None,
    working_size: Size = None,
    **arguments: Any,
) -> keras.Model:
    """Builds a published model with its weights.

    Args:
        entry: a `Published`.
        head: the head of its network, a key of `models.segmentation.HEADS`.
        builder: function of `classes`, of the names in `entry.structure` and of `arguments` that
            returns the model with random weights.
        classes: number of classes, by default that of the weights. For another number, layers
            with one row per class keep their random weights, and a warning names them.
        working_size: see `EncNet50`; by default that of the protocol, unless `input_shape` fixes
            the size of the images.
        **arguments: arguments of the builder. None means as published.

    Returns:
        The model that `builder` returns, with `class_names` if `classes` is as published.

    Raises:
        ValueError: if an argument contradicts the structure of the published model.
    """
    arguments = {name: value for name, value in arguments.items() if value is not None}
    _check_structure(entry, head, arguments)
    if working_size is None and not any(arguments.get("input_shape", ())[:2]):
        working_size = entry.protocol["base_size"]
    build_with = functools.partial(
        builder, working_size=working_size, **entry.structure | arguments
    )
    published = build_with(classes=len(entry.class_names))
    load_weights(published, fetch(entry))
    published.class_names = entry.class_names
    if classes in (None, len(entry.class_names)):
        return published
    model = build_with(classes=classes)
    renewed = copy_weights(published, model)
    warnings.warn(
        f"The weights {entry.weights!r} have {len(entry.class_names)} classes, not {classes}. "
        f"These layers keep random weights and must be trained: {', '.join(renewed)}",
        stacklevel=5,
    )
    return model


def _check_structure(entry, head, arguments):
    options = {name: value for name, value in entry.structure.items() if name != "variant"}
    structure = entry.structure | resolve(("resnet", head), entry.structure["variant"], options)
    structure["preprocessing"] = preprocessing_of(structure["stride_on"])
    for name, value in arguments.items():
        # Dropout has no weights.
        if "dropout" not in name and name in structure and structure[name] != value:
            raise ValueError(
                f"The weights {entry.weights!r} require `{name}={structure[name]!r}`. "
                f"Received: {name}={value!r}"
            )


def copy_weights(source: keras.Model, target: keras.Model) -> list[str]:
    """Copies the weights of layers that agree in name and shapes.

    The first convolution of a model for RGB images fits any number of channels.

    Returns:
        The names of the layers of `target` that were left as they are.
    """
    found = {layer.name: layer.get_weights() for layer in source.layers}
    first = image_convolutions(target)
    unchanged = []
    for layer in target.layers:
        weights = found.get(layer.name, [])
        if weights and layer.name in first:
            weights = fitted(weights, layer.kernel.shape)
        if [w.shape for w in weights] == [tuple(w.shape) for w in layer.weights]:
            layer.set_weights(weights)
        else:
            unchanged.append(layer.name)
    return unchanged
