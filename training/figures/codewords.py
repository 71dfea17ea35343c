"""What the Context Encoding Module makes of an image, made visible."""

import keras
import numpy as np
from matplotlib import pyplot as plt

from keras_encnet import preprocess_input
from training.figures import pictures

COLUMNS = 8
# Classes in the chart of presence, the likeliest and those of the truth.
SHOWN = 20


def inspect(model, image):
    """Returns where an image's pixels go and how its channels are gated.

    Args:
        model: an EncNet with codewords.
        image: uint8 RGB `(height, width, 3)`.

    Returns:
        The assignment `(rows, columns, codewords)`, which sums to 1 in each
        place of the feature map, and the gates `(channels,)`, 0 to 1.

    Raises:
        ValueError: for a model without codewords.
    """
    names = {layer.name for layer in model.layers}
    if "context_encoding" not in names:
        raise ValueError(
            "Only an EncNet with codewords can be explained, and this model has none. "
            f"Received: model={model.name!r}"
        )
    encoding, attention = map(model.get_layer, ("context_encoding", "context_attention"))
    inside = keras.Model(model.input, [encoding.input, attention.input[1]])
    features, code = inside(preprocess_input(image[None], model.preprocessing), training=False)
    assignment = np.asarray(encoding.assignment(features))[0]
    gates = np.asarray(attention.gates(code))[0]
    return assignment.reshape(*features.shape[1:3], -1), gates


def presence(model, image):
    """Returns the probability of each class being present, `(classes,)`; image as in `inspect`."""
    batch = preprocess_input(image[None], model.preprocessing)
    logits = np.asarray(model.with_outputs("presence")(batch, training=False)["presence"])[0]
    return 1 / (1 + np.exp(-logits.astype("float64")))


def save_page(path, model, image, mask, truth=None):
    """Writes a page about one image.

    The image, what the model makes of it and, if given, the truth; the share of
    each codeword in every place, titled with its share of the image; all gates
    in order; and, where the model has that output, the probability of the
    likeliest classes, those in the truth in color.

    Args:
        path: of the PNG.
        model: an EncNet with codewords.
        image: uint8 RGB `(height, width, 3)`.
        mask: class ids `(height, width)`, the model's answer.
        truth: class ids and void `(height, width)`, or None.
    """
    assignment, gates = inspect(model, image)
    rows = -(-assignment.shape[-1] // COLUMNS)
    width = COLUMNS * 1.5
    height = 1.5 * image.shape[0] / image.shape[1] + 0.3
    figure = plt.figure(figsize=(width, (rows + 2) * height + 3.5), layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=[2 * height, rows * height, 3.5])
    _images(top, model, image, mask, truth)
    _assignments(middle, assignment, rows)
    if "presence" in model.output:
        left, right = bottom.subplots(1, 2)
        _presence(right, model, presence(model, image), truth)
    else:
        left = bottom.subplots()
    _gates(left, gates)
    pictures.save(figure, path)


def _images(figure, model, image, mask, truth):
    shown = {"image": image, "answer": pictures.color(mask, model.classes)}
    if truth is not None:
        shown["truth"] = pictures.color(truth, model.classes)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for axis, (title, picture) in zip(axes, shown.items(), strict=True):
        axis.imshow(picture)
        axis.set_title(title, fontsize=9)
        axis.axis("off")


def _assignments(figure, assignment, rows):
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for number, axis in zip(range(assignment.shape[-1]), axes, strict=False):
        share = assignment[..., number]
        axis.imshow(share, vmin=0, vmax=assignment.max())
        axis.set_title(f"{number}: {share.mean():.1%}", fontsize=7)


def _gates(axis, gates):
    axis.plot(np.sort(gates))
    axis.set(title="gates, in order", xlabel="channel", ylabel="gate", ylim=(0, 1))
    axis.grid(alpha=0.3)


def _presence(axis, model, probabilities, truth):
    there = set() if truth is None else {i for i in np.unique(truth) if 0 <= i < model.classes}
    order = sorted(range(model.classes), key=lambda i: (i not in there, -probabilities[i]))
    order = sorted(order[:SHOWN], key=lambda i: -probabilities[i])
    colors = ["C1" if i in there else "C0" for i in order]
    axis.bar([model.class_names[i] for i in order], probabilities[order], color=colors)
    title = "probability of presence" + ("" if truth is None else "; orange: in the truth")
    axis.set(title=title, ylim=(0, 1))
    axis.tick_params("x", rotation=90, labelsize=7)
