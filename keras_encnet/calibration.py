"""Calibration of the presence branch, stored in the weights of its classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_encnet.losses import class_presence
from keras_encnet.metrics import presence_scores
from keras_encnet.models import SegmentationModel
from keras_encnet.utils.numerics import sigmoid

# Number of parts of the cross-validation, unless there are fewer images.
FOLDS = 10
# Smallest spread of the calibrated logits: a slope of 0 would lose the ranking of the images.
LEAST_SPREAD = 0.01
# Logits that differ by no more than this fraction of their size are constant.
ROUNDING = 1e-6
ITERATIONS, TOLERANCE = 100, 1e-9


def calibrate_presence(
    model: SegmentationModel,
    batches: Iterable,
    ignore_class: int | Sequence[int] = 255,
    seen: Iterable | None = None,
) -> dict[str, dict[str, Any]]:
    """Calibrates the presence branches of a model on images that it was not trained on.

    A network that was trained on crops, which show few classes, underestimates how many a whole
    image shows. For each presence branch, this fits `slope * logits + bias`, with one slope for
    all classes and one bias per class (see `fit_calibration`), and multiplies the kernel and
    shifts the bias of the classifier accordingly. Probabilities change; the ranking of the images
    does not, nor do gates and masks. A branch stays as it is if cross-validation does not show a
    lower SE-loss.

    Example:

    >>> import numpy as np
    >>> from keras_encnet import EncNet
    >>> from keras_encnet.backbones import ResNet18
    >>> model = EncNet(ResNet18(width_multiplier=0.125), classes=2, channels=8)
    >>> images, masks = np.zeros((4, 32, 32, 3)), np.zeros((4, 32, 32), int)
    >>> report = calibrate_presence(model, [(images, masks)])
    >>> report["presence"]["calibrated"]
    True
    >>> logits = model(images)["presence"][0].numpy()  # every image shows class 0, none class 1
    >>> bool(logits[0] > 0 > logits[1])
    True

    Args:
        model: `SegmentationModel` with outputs that begin with `presence`. Its weights change.
        batches: Finite iterable, such as a `tf.data.Dataset`, of pairs of images
            `(batch, height, width, 3)` as for `predict_on_batch`, and masks: integers
            `(batch, height, width)`. Images without labeled pixels are left out.
        ignore_class: Integer or sequence of integers, the ignored labels.
        seen: Finite iterable of the same kind, of whole training images, from which the biases
            are estimated as well, or None. `batches` may be few images, or show every class.
            Images without labeled pixels are left out here as well.

    Returns:
        For each branch a dict: `images`, the number of those in `batches`; `calibrated`, whether
        the weights were changed; `se_loss` before; `calibrated_se_loss`, the cross-validated loss,
        NaN for fewer than two images; and `slope`.

    Raises:
        ValueError: If the model has no presence branch, if a branch is not a plain `Dense` layer
            (merge LoRA weights first), or if no image has a labeled pixel.
    """
    classifiers = presence_classifiers(model)
    if not classifiers:
        raise ValueError(
            "Expected a model with a presence branch, such as an EncNet. "
            f"Received: model={model.name!r} with the outputs {sorted(model.output)}"
        )
    presence, logits = predict_presence(model, batches, ignore_class)
    of_seen = None if seen is None else _predictions(model, seen, ignore_class)
    report = {}
    for name, classifier in classifiers.items():
        more = None if of_seen is None else (of_seen[0], of_seen[1][name])
        slope, bias = fit_calibration(presence, logits[name], more)
        before = presence_scores(presence, logits[name])["se_loss"]
        after = cross_validated_loss(presence, logits[name], more)
        if after < before:  # False for NaN
            classifier.kernel.assign(slope * classifier.kernel)
            classifier.bias.assign(slope * classifier.bias + bias)
        report[name] = {
            "images": len(presence),
            "calibrated": bool(after < before),
            "se_loss": before,
            "calibrated_se_loss": after,
            "slope": slope,
        }
    return report


def presence_classifiers(model: SegmentationModel) -> dict[str, keras.layers.Dense]:
    """Returns the last layers of the presence branches by the name of their output.

    Raises:
        ValueError: If one is not a plain `Dense` layer.
    """
    names = [name for name in model.output if name.startswith("presence")]
    classifiers = {name: model.get_layer(name) for name in names}
    for name, layer in classifiers.items():
        changed = getattr(layer, "lora_enabled", False) or layer.quantization_mode
        if type(layer) is not keras.layers.Dense or layer.bias is None or changed:
            raise ValueError(
                "A presence branch must end in a `Dense` layer with a bias, without LoRA and "
                f"quantization. Received: {type(layer).__name__} {name!r}"
            )
    return classifiers


def predict_presence(
    model: SegmentationModel, batches: Iterable, ignore_class: int | Sequence[int] = 255
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns which classes are present in images, and the logits that a model predicts.

    Args:
        model: as for `calibrate_presence`.
        batches: as for `calibrate_presence`.
        ignore_class: Integer or sequence of integers, the ignored labels.

    Returns:
        Booleans `(images, classes)`, and by the name of the branch, floats `(images, classes)`.

    Raises:
        ValueError: If no image has a labeled pixel.
    """
    predictions = _predictions(model, batches, ignore_class)
    if predictions is None:
        raise ValueError(
            "At least one image must have labeled pixels. "
            f"Received: batches={batches}, ignore_class={ignore_class}"
        )
    return predictions


def _predictions(model, batches, ignore_class):
    """Returns what `predict_presence` does, or None if no image has a labeled pixel."""
    names = [name for name in model.output if name.startswith("presence")]
    outputs = model.with_outputs(names)
    truth, predictions = [], []
    for images, masks in batches:
        presence, labeled = map(np.asarray, class_presence(masks, model.classes, ignore_class))
        if labeled.any():
            logits = outputs.predict_on_batch(images)
            truth.append(presence[labeled])
            predictions.append({name: logits[name][labeled] for name in names})
    if not truth:
        return None
    joined = {name: np.concatenate([p[name] for p in predictions]) for name in names}
    return np.concatenate(truth), joined


def fit_calibration(
    presence: ArrayLike, logits: ArrayLike, seen: tuple[ArrayLike, ArrayLike] | None = None
) -> tuple[float, np.ndarray]:
    """Fits `slope * logits + bias`, with one slope for all classes and one bias per class.

    Maximum likelihood by Newton's method. Two weak assumptions keep it finite and close to the
    base rates for few images: one of all the labels may be wrong, and each class has one more
    image, half of which counts as present and half as absent, at its mean logit. The slope
    is positive, so that the order of the images is kept. Calibrating again changes nothing.

    Example:

    >>> presence = [[True], [True], [True], [False]]
    >>> slope, bias = fit_calibration(presence, [[0.0], [0.0], [0.0], [0.0]])
    >>> slope, bias.round(3)  # the logit of (3 + 1/2) / (4 + 1), since the logits are constant
    (1.0, array([0.847]))

    Args:
        presence: Booleans `(images, classes)`.
        logits: Floats `(images, classes)`.
        seen: The same of images that the network was trained on, or None. They improve the biases,
            which follow the frequency of the classes. The slope does not depend on them, as a
            network is too certain about images that it has seen.

    Returns:
        The slope, above 0, and the biases, floats `(classes,)`.
    """
    y, z = np.asarray(presence, "float64"), np.asarray(logits, "float64")
    slope, bias = _fit(y, z)
    if seen is None:
        return slope, bias
    y, z = (
        np.concatenate([own, np.asarray(more, "float64")])
        for own, more in zip((y, z), seen, strict=True)
    )
    return _fit(y, z, slope)


def _fit(y, z, slope=None):
    """Returns slope and biases, or the biases for a given slope."""
    rates = (y.sum(0) + 0.5) / (len(y) + 1)
    bias = np.log(rates / (1 - rates))
    mean, spread = z.mean(0), (z - z.mean(0)).std()
    if spread <= ROUNDING * np.abs(z).max():
        slope = 1.0 if slope is None else slope
        return slope, bias - slope * mean
    x, y = (z - mean) / spread, y + (1 - 2 * y) / (y.size + 2)
    if slope is not None:
        _, bias = _maximum_likelihood(x, y, slope * spread, bias, fixed=True)
        return slope, bias - slope * mean
    slope, fitted = _maximum_likelihood(x, y, 0.0, bias)
    if slope > LEAST_SPREAD:
        bias = fitted
    slope = max(slope, LEAST_SPREAD) / spread
    return float(slope), bias - slope * mean


def _maximum_likelihood(x, y, slope, bias, fixed=False):
    """Returns the slope and the biases of the likeliest `sigmoid(slope * x + bias)`.

    Args:
        x: floats `(images, classes)`.
        y: probabilities of presence `(images, classes)`.
        slope: where the search starts.
        bias: floats `(classes,)`, where the search starts.
        fixed: whether the slope stays as it is.
    """

    def loss(slope, bias):
        logits = slope * x + bias
        half_images = np.logaddexp(0, bias) - bias / 2
        return np.sum(np.logaddexp(0, logits) - y * logits) + np.sum(half_images)

    for _ in range(ITERATIONS):
        p, q = sigmoid(slope * x + bias), sigmoid(bias)
        # The Hessian is an arrow: diagonal, but for the row and column of the slope.
        gradient, gradients = np.sum((p - y) * x), np.sum(p - y, 0) + q - 0.5
        weights = p * (1 - p)
        cross, diagonal = np.sum(weights * x, 0), np.sum(weights, 0) + q * (1 - q)
        step = 0.0
        if not fixed:
            step = gradient - np.sum(cross * gradients / diagonal)
            step /= np.sum(weights * x**2) - np.sum(cross**2 / diagonal)
        steps = (gradients - cross * step) / diagonal
        size, before = 1.0, loss(slope, bias)
        while loss(slope - size * step, bias - size * steps) > before and size > TOLERANCE:
            size /= 2
        slope, bias = slope - size * step, bias - size * steps
        if size * max(abs(step), np.max(np.abs(steps))) < TOLERANCE:
            break
    return slope, bias


def cross_validated_loss(
    presence: ArrayLike, logits: ArrayLike, seen: tuple[ArrayLike, ArrayLike] | None = None
) -> float:
    """Returns the SE-loss of calibrated predictions for images left out of the calibration.

    Args:
        presence: Booleans `(images, classes)`.
        logits: Floats `(images, classes)`.
        seen: As for `fit_calibration`; these images are not left out.

    Returns:
        The mean over all images, each left out once; NaN for fewer than two images.
    """
    presence, logits = np.asarray(presence, bool), np.asarray(logits, "float64")
    if len(logits) < 2:
        return np.nan
    calibrated = np.zeros(logits.shape)
    folds = np.arange(len(logits)) % FOLDS
    for fold in np.unique(folds):
        slope, bias = fit_calibration(presence[folds != fold], logits[folds != fold], seen)
        calibrated[folds == fold] = slope * logits[folds == fold] + bias
    return presence_scores(presence, calibrated)["se_loss"]
