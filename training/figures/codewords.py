"""Pages that show how the Context Encoding Module processes an image."""

import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from keras_encnet import SegmentationModel
from keras_encnet.utils.numerics import sigmoid
from training.figures.overlays import add_legend, colorize, thinned
from training.figures.saving import save_figure

COLUMNS = 8
GATES_HEIGHT = 2.5  # inches
# Number of classes in the chart of presence: those in truth and mask, then the most probable.
SHOWN = 20
LEGEND_COLUMNS = 6


def has_codewords(model: SegmentationModel) -> bool:
    """Returns whether a model compares features with codewords."""
    return any(layer.name == "context_encoding" for layer in model.layers)


def tensors(model: SegmentationModel) -> dict[str, keras.KerasTensor]:
    """Returns how pixels are assigned to codewords and how channels are gated.

    Args:
        model: an EncNet with codewords.

    Returns:
        Symbolic tensors of the model: `assignment`, `(batch, rows, columns, codewords)`, which
        sums to 1 at each position of the feature map, and `gates`, `(batch, channels)`, 0 to 1.

    Raises:
        ValueError: if the model has no codewords.
    """
    if not has_codewords(model):
        raise ValueError(
            "Only an EncNet with codewords can be explained; this model has none. "
            f"Received: model={model.name!r}"
        )
    encoding, attention = map(model.get_layer, ("context_encoding", "context_attention"))

    def assignment(features):
        batch, rows, columns, _ = keras.ops.shape(features)
        weights = encoding.assignment(features)
        return keras.ops.reshape(weights, (batch, rows, columns, encoding.num_codewords))

    shape = (None, None, encoding.num_codewords)
    return {
        "assignment": keras.layers.Lambda(assignment, output_shape=shape)(encoding.input),
        "gates": keras.layers.Lambda(attention.gates)(attention.input[1]),
    }


def context_figure(assignment: np.ndarray, gates: np.ndarray) -> Figure:
    """Draws the assignment to each codeword, titled with its mean, and the gates.

    Args:
        assignment: `(rows, columns, codewords)`.
        gates: `(channels,)`.

    Returns:
        A figure that pyplot does not manage, so that threads can draw.
    """
    rows = -(-assignment.shape[-1] // COLUMNS)
    tiles = rows * (assignment.shape[0] / assignment.shape[1] + 0.3)
    figure = Figure(figsize=(COLUMNS, tiles + GATES_HEIGHT), layout="constrained")
    heights = [tiles, GATES_HEIGHT]
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    _assignments(top, assignment, rows)
    _gates(bottom.subplots(), gates)
    return figure


def save_page(
    path: str | os.PathLike,
    image: np.ndarray,
    prediction: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    truth: np.ndarray | None = None,
) -> None:
    """Writes a page about one image.

    The page shows the image, the prediction and, if given, the truth, with a legend of the classes
    in them; for each codeword, the weight of its assignment at each position, titled with the mean;
    the gates in ascending order; and, if the model has this output, the probability of presence of
    the classes in the mask, with their share of it, and of the most probable others.

    Args:
        path: the PNG file.
        image: uint8 RGB `(height, width, 3)`.
        prediction: `classes`, class ids `(height, width)`; `assignment`, `(rows, columns,
            codewords)`; `gates`, `(channels,)`; and optionally `presence`, logits `(classes,)`.
        class_names: one name per class.
        truth: true class ids and ignored labels `(height, width)`, or None.
    """
    assignment = prediction["assignment"]
    rows = -(-assignment.shape[-1] // COLUMNS)
    width = COLUMNS * 1.5
    height = 1.5 * image.shape[0] / image.shape[1] + 0.3
    legend_rows = -(-len(np.unique(prediction["classes"])) // LEGEND_COLUMNS)
    heights = [2 * height + 0.2 * legend_rows, rows * height, 3.5]
    figure = plt.figure(figsize=(width, sum(heights)), layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=heights)[:, 0]
    _images(top, image, {"prediction": prediction["classes"], "truth": truth}, class_names)
    _assignments(middle, assignment, rows)
    if "presence" in prediction:
        left, right = bottom.subplots(1, 2)
        _presence(right, prediction, class_names, truth)
    else:
        left = bottom.subplots()
    _gates(left, prediction["gates"])
    save_figure(path, figure)


def _images(figure, image, masks, class_names):
    given = {title: mask for title, mask in masks.items() if mask is not None}
    shown = np.unique(np.concatenate([np.unique(mask) for mask in given.values()]))
    masks = {k: colorize(thinned(mask), len(class_names)) for k, mask in given.items()}
    axes = figure.subplots(1, 1 + len(masks), squeeze=False)[0]
    for axis, (title, pixels) in zip(axes, {"image": thinned(image), **masks}.items(), strict=True):
        axis.imshow(pixels)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    add_legend(figure, shown, class_names, loc="outside lower center", ncols=LEGEND_COLUMNS)


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


def _presence(axis, prediction, class_names, truth):
    probabilities, classes = sigmoid(prediction["presence"]), range(len(class_names))
    present = set() if truth is None else set(np.unique(truth))
    shares = [np.mean(prediction["classes"] == i) for i in classes]
    order = sorted(classes, key=lambda i: (i not in present and not shares[i], -probabilities[i]))
    order = sorted(order[:SHOWN], key=lambda i: -probabilities[i])
    colors = ["C1" if i in present else "C0" for i in order]
    labels = [class_names[i] + (f" {shares[i]:.1%}" if shares[i] else "") for i in order]
    axis.bar(labels, probabilities[order], color=colors)
    axis.axhline(0.5, color="gray", linewidth=0.5)
    title = "probability of presence, share of the mask"
    axis.set(title=title + ("" if truth is None else "; orange: in the truth"), ylim=(0, 1))
    axis.tick_params("x", rotation=90, labelsize=7)
