"""Losses by name, and the losses and metrics of all outputs of a model."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_encnet.losses.dice_loss import DiceLoss
from keras_encnet.losses.focal_loss import FocalLoss
from keras_encnet.losses.lovasz_softmax_loss import LovaszSoftmaxLoss
from keras_encnet.losses.mask_loss import MaskLoss
from keras_encnet.losses.ohem_cross_entropy import OHEMCrossEntropy
from keras_encnet.losses.pixel_cross_entropy import PixelCrossEntropy
from keras_encnet.losses.se_loss import SELoss
from keras_encnet.losses.sum import Sum
from keras_encnet.masks import ignored_labels
from keras_encnet.metrics import SegmentationMetrics

PIXEL_LOSSES: dict[str, type[MaskLoss]] = {
    "cross_entropy": PixelCrossEntropy,
    "dice": DiceLoss,
    "focal": FocalLoss,
    "lovasz_softmax": LovaszSoftmaxLoss,
    "ohem": OHEMCrossEntropy,
}


def build_pixel_loss(
    pixel_loss: str | MaskLoss | Sum | Sequence[str | MaskLoss],
    ignore_class: int | Sequence[int] = 255,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> MaskLoss | Sum:
    """Returns the loss of logits per pixel from its name.

    Example:

    >>> loss = build_pixel_loss("cross_entropy+dice")
    >>> [type(part).__name__ for part in loss.losses]
    ['PixelCrossEntropy', 'DiceLoss']

    Args:
        pixel_loss: Name in `PIXEL_LOSSES`, several of them joined with `+`, a loss, or a list of
            names and losses, which are added; see `Sum` for weights.
        ignore_class: Integer or sequence of integers, the ignored labels.
        class_weights: Sequence of one float per class, for losses given by name, or None.
        label_smoothing: Float from 0 to 1, for `"cross_entropy"`.

    Raises:
        ValueError: If a name is unknown, if a loss has other ignored labels or class weights, or
            if `label_smoothing` is not 0 and there is no `"cross_entropy"`.
    """
    parts: list = list(pixel_loss) if isinstance(pixel_loss, (list, tuple)) else [pixel_loss]
    parts = [
        name for part in parts for name in (part.split("+") if isinstance(part, str) else [part])
    ]
    if label_smoothing and "cross_entropy" not in parts:
        raise ValueError(
            "`label_smoothing` applies to the loss 'cross_entropy'. "
            f"Received: label_smoothing={label_smoothing}, pixel_loss={pixel_loss!r}"
        )

    def build(part):
        if not isinstance(part, str):
            return _checked_loss(part, ignore_class, class_weights)
        if part not in PIXEL_LOSSES:
            raise ValueError(
                f"`pixel_loss` must be one of {', '.join(PIXEL_LOSSES)}; several of them joined "
                f"with `+`; or a loss of this package. Received: pixel_loss={pixel_loss!r}"
            )
        smoothing = {"label_smoothing": label_smoothing} if part == "cross_entropy" else {}
        return PIXEL_LOSSES[part](ignore_class, class_weights, **smoothing)

    losses = [build(part) for part in parts]
    return losses[0] if len(losses) == 1 else Sum(losses)


def _checked_loss(loss, ignore_class, class_weights):
    """Returns a loss of this package that agrees with the other arguments of `objectives`."""
    if not isinstance(loss, (MaskLoss, Sum)):
        raise ValueError(
            "`pixel_loss` must be a name or a loss of this package, such as "
            f"`keras_encnet.DiceLoss()`. Received: pixel_loss={loss!r}"
        )
    if set(loss.ignore_class) != set(ignored_labels(ignore_class)):
        raise ValueError(
            "`pixel_loss` must have the same ignored labels as the other losses and the metrics. "
            f"Received: pixel_loss.ignore_class={loss.ignore_class}, ignore_class={ignore_class}"
        )
    if class_weights is not None:
        for part in loss.losses if isinstance(loss, Sum) else [loss]:
            if part.class_weights != [float(weight) for weight in class_weights]:
                raise ValueError(
                    "A loss that is not given by name must have the class weights of the other "
                    f"losses. Received: {part.name} with class_weights={part.class_weights}, "
                    f"class_weights={list(class_weights)}"
                )
    return loss


def objectives(
    model: keras.Model,
    ignore_class: int | Sequence[int] = 255,
    se_weight: float = 0.2,
    auxiliary_weight: float = 0.2,
    class_weights: Sequence[float] | None = None,
    absent_classes: str = "exclude",
    pixel_loss: str | MaskLoss | Sum | Sequence[str | MaskLoss] = "cross_entropy",
) -> dict:
    """Returns the losses, their weights and the metrics for training on images and masks.

    Example:

    >>> from keras_encnet import FCN
    >>> from keras_encnet.backbones import ResNet18
    >>> model = FCN(ResNet18(), classes=21)
    >>> model.compile("sgd", **objectives(model, ignore_class=255))

    Args:
        model: Model of this package, or any model with outputs of the same names.
        ignore_class: Integer or sequence of integers, labels ignored in losses and metrics.
        se_weight: Float, weight of the SE-loss of each branch: 0.2 in the paper, which compares
            0 to 0.8. With 0, the branches are not trained.
        auxiliary_weight: Float, weight of the auxiliary head on stage 3: 0.2 in the official
            training script, 0.4 in mmsegmentation.
        class_weights: Sequence of one float per class, for all losses, or None.
        absent_classes: `"exclude"` or `"zero"`, the score of classes that do not occur, see
            `SegmentationMetrics`.
        pixel_loss: Loss of the masks of both heads, see `build_pixel_loss`: `"cross_entropy"`,
            `"dice"`, `"focal"`, `"lovasz_softmax"`, `"ohem"`, a sum such as
            `"cross_entropy+dice"`, a loss such as `FocalLoss(gamma=1.0)`, or a list of these.

    Returns:
        Dict of the arguments `loss`, `loss_weights` and `metrics` of `compile`.

    Raises:
        ValueError: If a weight is negative, if there is not one class weight per class, if the
            model has no output `segmentation`, or as `build_pixel_loss`.
    """
    if "segmentation" not in model.output:
        raise ValueError(
            "Expected a model with the output `segmentation`. "
            f"Received: outputs={sorted(model.output)}"
        )
    for argument, value in (("se_weight", se_weight), ("auxiliary_weight", auxiliary_weight)):
        if value < 0:
            raise ValueError(f"`{argument}` must not be negative. Received: {argument}={value}")
    losses, weights = {}, {}
    for name in model.output:
        if name.startswith("segmentation"):
            losses[name] = build_pixel_loss(pixel_loss, ignore_class, class_weights)
            weights[name] = 1.0 if name == "segmentation" else auxiliary_weight
        else:
            losses[name] = SELoss(ignore_class, class_weights)
            weights[name] = se_weight
    classes = model.output["segmentation"].shape[-1]
    losses["segmentation"].check_class_weights(classes)  # before training
    metrics = {"segmentation": SegmentationMetrics(classes, ignore_class, absent_classes)}
    return {"loss": losses, "loss_weights": weights, "metrics": metrics}
