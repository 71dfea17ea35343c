"""The table of published weights, and how they come to disk: once, verified, converted.

The files are those their authors published, for PyTorch. Reading one needs
torch, `pip install 'keras-encnet[convert]'`; what is converted is kept as Keras
weights, which need it no more.
"""

import dataclasses
import hashlib
import os
import warnings
import zipfile
import zlib
from pathlib import Path

import keras

from keras_encnet.labels import ADE20K, CITYSCAPES, PASCAL_CONTEXT, voc_palette
from keras_encnet.models.structure import variant_parts
from keras_encnet.pytorch import from_pytorch
from keras_encnet.pytorch.reading import NotACheckpointError, unpacked
from keras_encnet.utils.files import atomic_file

OFFICIAL = "https://s3.us-west-1.wasabisys.com/encoding/models/{}.zip"
MMSEGMENTATION = "https://download.openmmlab.com/mmsegmentation/v0.5/encnet/{}/{}_{}.pth"


@dataclasses.dataclass(frozen=True)
class Published:
    """One published model.

    Attributes:
        network: the builder, `"EncNet50"` or `"EncNet101"`.
        weights: the name, as in `EncNet50(weights=...)`.
        address: where its authors keep it.
        algorithm: `"sha1"` or `"sha256"`.
        digest: the first hexadecimal digits of the checkpoint's hash.
        structure: the builder's arguments that the weights imply.
        class_names: one name per class, in the order of the logits.
        palette: one (red, green, blue) per class, 0 to 255.
        mean_iou: the published score, in percent.
        pixel_accuracy: the same, or None where it isn't published.
        protocol: how the score was measured.
    """

    network: str
    weights: str
    address: str
    algorithm: str
    digest: str
    structure: dict
    class_names: tuple
    palette: tuple
    mean_iou: float
    pixel_accuracy: float | None
    protocol: str


def _palette(classes):
    return tuple(map(tuple, voc_palette(classes).tolist()))


# Class names and palettes.
_DATA = {
    "ade20k": (tuple(ADE20K), _palette(len(ADE20K))),
    "pascal_context": (tuple(PASCAL_CONTEXT), _palette(len(PASCAL_CONTEXT))),
    "cityscapes": (tuple(CITYSCAPES), tuple(CITYSCAPES.values())),
}
# Of every published model.
SIZES = {"num_codewords": 32, "channels": 512}
_MULTI_SCALE = "official protocol, 6 scales and flip, base {}, crop {}"
# Network, data, what the file calls that, SHA-1, mIoU, pixel accuracy.
_OFFICIAL = [
    ("EncNet50", "ade20k", "ade", "07ac287cd77e53ea583f37454e17d30ce1509a4a", 41.5, 80.1),
    ("EncNet101", "ade20k", "ade", "3f54fa3b67bac7619cd9b3673f5c8227cf8f4718", 44.4, 81.3),
    (
        "EncNet50",
        "pascal_context",
        "pcontext",
        "4de91d5922d4d3264f678b663f874da72e82db00",
        51.0,
        79.2,
    ),
    (
        "EncNet101",
        "pascal_context",
        "pcontext",
        "9f27ea13d514d7010e59988341bcbd4140fcc33d",
        54.1,
        80.7,
    ),
]
# Network, data, size, iterations, stamp (ends in the hash), single-scale mIoU.
_MMSEGMENTATION = [
    ("EncNet50", "cityscapes", "512x1024", "40k", "20200621_220958-68638a47", 75.67),
    ("EncNet101", "cityscapes", "512x1024", "40k", "20200621_220933-35e0a3e8", 75.81),
    ("EncNet50", "cityscapes", "769x769", "40k", "20200621_220958-3bcd2884", 76.24),
    ("EncNet101", "cityscapes", "769x769", "40k", "20200621_220933-2fafed55", 74.25),
    ("EncNet50", "cityscapes", "512x1024", "80k", "20200622_003554-fc5c5624", 77.94),
    ("EncNet101", "cityscapes", "512x1024", "80k", "20200622_003555-1de64bec", 78.55),
    ("EncNet50", "cityscapes", "769x769", "80k", "20200622_003554-55096dcb", 77.44),
    ("EncNet101", "cityscapes", "769x769", "80k", "20200622_003555-470ef79d", 76.10),
    ("EncNet50", "ade20k", "512x512", "80k", "20200622_042412-44b46b04", 39.53),
    ("EncNet101", "ade20k", "512x512", "80k", "20200622_101128-dd35e237", 42.11),
    ("EncNet50", "ade20k", "512x512", "160k", "20200622_101059-b2db95e0", 40.10),
    ("EncNet101", "ade20k", "512x512", "160k", "20200622_073348-7989641f", 42.61),
]


def _official(network, data, short, digest, mean_iou, pixel_accuracy):
    names, palette = _DATA[data]
    depth = network.removeprefix("EncNet")
    sizes = (640, 576) if (depth, data) == ("101", "ade20k") else (520, 480)
    lateral = data == "pascal_context"
    return Published(
        network,
        f"{data}_official",
        OFFICIAL.format(f"encnet_resnet{depth}s_{short}-{digest[:8]}"),
        "sha1",
        digest,
        {"variant": "official", "auxiliary": "fcn", "lateral": lateral, "align_corners": True},
        names,
        palette,
        mean_iou,
        pixel_accuracy,
        _MULTI_SCALE.format(*sizes),
    )


def _mmsegmentation(network, data, size, iterations, stamp, mean_iou):
    names, palette = _DATA[data]
    depth = network.removeprefix("EncNet")
    config = f"encnet_r{depth}-d8_{size}_{iterations}_{data}"
    align_corners = size == "769x769"
    return Published(
        network,
        f"{data}_mmsegmentation_{size}_{iterations}",
        MMSEGMENTATION.format(config, config, stamp),
        "sha256",
        stamp.rsplit("-", 1)[1],
        {
            "variant": "mmsegmentation",
            "auxiliary": "fcn",
            "lateral": False,
            "align_corners": align_corners,
        },
        names,
        palette,
        mean_iou,
        None,
        "single scale, windows of 769 each 513" if align_corners else "single scale, whole image",
    )


TABLE = tuple(_official(*row) for row in _OFFICIAL) + tuple(
    _mmsegmentation(*row) for row in _MMSEGMENTATION
)


def available(network=None):
    """Returns the published models, those of one network if it is named.

    >>> [entry.weights for entry in available("EncNet101")][:2]
    ['ade20k_official', 'pascal_context_official']

    Args:
        network: such as `"EncNet50"`; all by default.

    Returns:
        A tuple of `Published`.
    """
    return tuple(entry for entry in TABLE if network in (None, entry.network))


def find(network, weights):
    """Returns the entry of that name, or None."""
    return next((entry for entry in available(network) if entry.weights == weights), None)


def fetch(entry, folder=None):
    """Returns the path of a published model's Keras weights, made at the first call.

    Every file is written beside its place and renamed when it is whole, so an
    interrupted or a second, simultaneous call never leaves half of one.

    Args:
        entry: a `Published`.
        folder: where files are kept; `models/keras_encnet` in `$KERAS_HOME`, or in `~/.keras`, by
            default.

    Returns:
        Path of a `.weights.h5` of the whole model.

    Raises:
        ValueError: if the file isn't the published one.
        OSError: if it can't be downloaded or written.
    """
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"  # as Keras's own downloads
    folder = Path(folder or Path(home, "models", "keras_encnet"))
    folder.mkdir(parents=True, exist_ok=True)
    stem = entry.address.rsplit("/", 1)[1].rsplit(".", 1)[0]
    converted = folder / f"{stem}.weights.h5"
    if not converted.exists():
        checkpoint = _download(entry, folder)
        model = from_pytorch(checkpoint, align_corners=entry.structure["align_corners"])
        with atomic_file(converted) as temporary:
            model.save_weights(temporary)
    return converted


def _download(entry, folder):
    name = entry.address.rsplit("/", 1)[1]
    final = folder / name
    if final.exists() and _digest(final, entry.algorithm).startswith(entry.digest):
        return final
    with atomic_file(final) as temporary:
        try:
            keras.utils.get_file(temporary.name, entry.address, cache_dir=folder, cache_subdir="")
        except Exception as error:  # what Keras raises has no class of its own
            raise OSError(
                f"Could not download {entry.address}: {error}. If you have the file, put it at "
                f"{final}."
            ) from error
        digest = _digest(temporary, entry.algorithm)
        if not digest.startswith(entry.digest):
            raise ValueError(
                f"{entry.address} isn't the file that was published: its {entry.algorithm} should "
                f"begin with {entry.digest}. It was not kept; if you have the right one, put it at "
                f"{final}. Received: {digest}"
            )
    return final


def _digest(path, algorithm):
    """The hash of a checkpoint; of one in an archive, the released code checks what is inside."""

    def of(place):
        with open(place, "rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()

    try:
        with unpacked(path) as place:
            return of(place)
    except (NotACheckpointError, zipfile.BadZipFile, zlib.error, RuntimeError):
        return of(path)  # an archive of something else


def build(entry, builder, classes=None, **arguments):
    """Builds the model of `entry` and gives it the published weights.

    Args:
        entry: a `Published`.
        builder: a function of `classes`, of what the structure of `entry`
            names, and of `arguments`, that returns the untrained model.
        classes: number of classes, the published one by default. With another,
            the layers that have a row per class keep their random weights, and
            a warning names them.
        **arguments: those of the builder; None means as published.

    Raises:
        ValueError: if an argument contradicts the published structure.
    """
    arguments = {k: v for k, v in arguments.items() if v is not None}
    structure = {**SIZES, **variant_parts(entry.structure["variant"]), **entry.structure}
    for name, value in arguments.items():
        if name != "dropout" and structure.get(name, value) != value:
            raise ValueError(
                f"The weights {entry.weights!r} are those of a model with "
                f"`{name}={structure[name]!r}`. Received: {name}={value!r}"
            )
    arguments = {**entry.structure, **arguments}
    published = builder(classes=len(entry.class_names), **arguments)
    published.load_weights(fetch(entry))
    published.class_names = entry.class_names
    if classes in (None, len(entry.class_names)):
        return published
    model = builder(classes=classes, **arguments)
    renewed = copy_weights(published, model)
    warnings.warn(
        f"The weights {entry.weights!r} know {len(entry.class_names)} classes: for {classes} these "
        f"layers have new random weights and want training: {', '.join(renewed)}",
        stacklevel=4,
    )
    return model


def copy_weights(source, target):
    """Copies weights by layer name where shapes agree; returns the names of the other layers."""
    found = {layer.name: layer.get_weights() for layer in source.layers}
    renewed = []
    for layer in target.layers:
        weights = found.get(layer.name, [])
        if [w.shape for w in weights] == [tuple(w.shape) for w in layer.weights]:
            layer.set_weights(weights)
        else:
            renewed.append(layer.name)
    return renewed
