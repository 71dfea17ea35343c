"""Pages that show how the Context Encoding Module processes an image."""

import os

import keras
import numpy as np
from matplotlib import pyplot as plt

from keras_encnet import SegmentationModel, preprocess_input
from training.figures.overlays import colorize
from training.figures.saving import save_figure

COLUMNS = 8
# Number of classes in the chart of presence: those in the truth, then the most probable.
SHOWN = 20


def inspect(model: SegmentationModel, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns how pixels are assigned to codewords and how channels are gated.

    Args:
        model: an EncNet with codewords.
        image: uint8 RGB `(height, width, 3)`.

    Returns:
        The assignment `(rows, columns, codewords)`, which sums to 1 at each position of the
        feature map, and the gates `(channels,)`, 0 to 1.

    Raises:
        ValueError: if the model has no codewords.
    """
    names = {layer.name for layer in model.layers}
    if "context_encoding" not in names:
        raise ValueError(
            "Only an EncNet with codewords can be explained; this model has none. "
            f"Received: model={model.name!r}"
        )
    encoding, attention = map(model.get_layer, ("context_encoding", "context_attention"))
    inner = keras.Model(model.input, [encoding.input, attention.input[1]])
    features, code = inner(preprocess_input(image[None], model.preprocessing), training=False)
    assignment = np.asarray(encoding.assignment(features))[0]
    gates = np.asarray(attention.gates(code))[0]
    return assignment.reshape(*features.shape[1:3], -1), gates


def presence(model: SegmentationModel, image: np.ndarray) -> np.ndarray:
    """Returns the probability that each class is present: `(classes,)`.

    Args:
        model: an EncNet with the output `presence`.
        image: uint8 RGB `(height, width, 3)`.
    """
    batch = preprocess_input(image[None], model.preprocessing)
    logits = np.asarray(model.with_outputs("presence")(batch, training=False)["presence"])[0]
    return 1 / (1 + np.exp(-logits.astype("float64")))


def save_page(
    path: str | os.PathLike,
    model: SegmentationModel,
    image: np.ndarray,
    mask: np.ndarray,
    truth: np.ndarray | None = None,
) -> None:
    """Writes a page about one image.

    The page shows the image, the prediction and, if given, the truth; for each codeword, the
    weight of its assignment at each position, titled with the mean; the gates in ascending order;
    and, if the model has this output, the probability of presence of the most probable classes.

    Args:
        path: the PNG file.
        model: an EncNet with codewords.
        image: uint8 RGB `(height, width, 3)`.
        mask: predicted class ids `(height, width)`.
        truth: true class ids and ignored labels `(height, width)`, or None.
    """
    assignment, gates = inspect(model, image)
    rows = -(-assignment.shape[-1] // COLUMNS)
    width = COLUMNS * 1.5
    height = 1.5 * image.shape[0] / image.shape[1] + 0.3
    figure = plt.figure(figsize=(width, (rows + 2) * height + 3.5), layout="constrained")
    heights = [2 * height, rows * height, 3.5]
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=heights)[:, 0]
    _images(top, model, image, mask, truth)
    _assignments(middle, assignment, rows)
    if "presence" in model.output:
        left, right = bottom.subplots(1, 2)
        _presence(right, model, presence(model, image), truth)
    else:
        left = bottom.subplots()
    _gates(left, gates)
    save_figure(path, figure)


def _images(figure, model, image, mask, truth):
    shown = {"image": image, "prediction": colorize(mask, model.classes)}
    if truth is not None:
        shown["truth"] = colorize(truth, model.classes)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, (title, pixels) in zip(axes, shown.items(), strict=True):
        axis.imshow(pixels)
        axis.set_title(title, fontsize=9)
        axis.axis("off")


def _assignments(figure, assignment, rows):
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for number, axis in zip(range(assignment.shape[-1]), axes, strict=False):
        weights = assignment[..., number]
        axis.imshow(weights, vmin=0, vmax=assignment.max())
        axis.set_title(f"{number}: {weights.mean():.1%}", fontsize=7)


def _gates(axis, gates):
    axis.plot(np.sort(gates))
    axis.set(title="gates in ascending order", xlabel="channel", ylabel="gate", ylim=(0, 1))
    axis.grid(alpha=0.3)


def _presence(axis, model, probabilities, truth):
    present = set() if truth is None else {i for i in np.unique(truth) if 0 <= i < model.classes}
    order = sorted(range(model.classes), key=lambda i: (i not in present, -probabilities[i]))
    order = sorted(order[:SHOWN], key=lambda i: -probabilities[i])
    colors = ["C1" if i in present else "C0" for i in order]
    axis.bar([model.class_names[i] for i in order], probabilities[order], color=colors)
    title = "probability of presence" + ("" if truth is None else "; orange: in the truth")
    axis.set(title=title, ylim=(0, 1))
    axis.tick_params("x", rotation=90, labelsize=7)
