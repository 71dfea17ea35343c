"""Scores of segmentation models, on whole images: every pixel of a mask counts once."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tensorflow as tf
import tyro
from tqdm import tqdm

import keras_encnet
from keras_encnet.graph.compiled import CompiledOutputs
from keras_encnet.losses import class_presence
from keras_encnet.metrics import presence_scores, reliability
from keras_encnet.models.images import check_values
from keras_encnet.utils.sizes import NATIVE, Size, resize_images, scaled_size
from training import cli
from training.configs import SegmentationConfig
from training.datasets.segmentation_data import open_split
from training.figures.confusion_matrix import save_confusion_matrix
from training.figures.overlays import as_rgb, save_comparison
from training.figures.reliability import save_reliability
from training.input import segmentation_batches
from training.input.folder import Split
from training.input.folder_check import check_split
from training.input.image_files import read_image, read_mask
from training.input.split_lists import part
from training.tasks.boundary_scores import BoundaryIoU
from training.tasks.multi_scale import MultiScaleOptions, settings_of
from training.tasks.segmentation_report import boundary_report, report, table
from training.tasks.splits import with_pixels

# Number of images on the page of predictions, spread evenly over the split.
SHOWN = 6


@dataclasses.dataclass(frozen=True)
class SegmentationScoring(MultiScaleOptions):
    """How masks are scored; not for classifiers."""

    size: Annotated[
        int | Literal["native"] | None, tyro.conf.arg(help_behavior_hint="(default: of the model)")
    ] = None
    """Long side at which the network sees images, or `native`, in place of the working size."""
    ignore_class: Annotated[
        tuple[int, ...] | None, tyro.conf.arg(help_behavior_hint="(default: as in training)")
    ] = None
    """Labels ignored in all scores."""
    map_labels: Annotated[
        tuple[str, ...] | None, tyro.conf.arg(help_behavior_hint="(default: as in training)")
    ] = None
    """Labels in the masks and those that replace them; `255:1` for masks of 0 and 255."""
    absent_classes: Literal["exclude", "zero"] = "exclude"
    """Classes neither labeled nor predicted: exclude them, or count 0 as the official code does."""
    with_background: bool = False
    """Also report mean IoU with ignored pixels as one more class (60 on PASCAL-Context)."""
    boundary: bool = False
    """Also report boundary IoU, of pixels near contours only (within 2 % of the diagonal)."""

    def __post_init__(self):
        super().__post_init__()
        if self.multi_scale:
            cli.refuse({"size": self.size}, "with `--multi-scale`, which has `--base-size`")


class SegmentationScorer:
    """The `training.tasks.task.Scorer` of a `SegmentationModel`.

    Args:
        model: the model.
        data: folder of the data set, or `scenes`.
        split: name of the split, such as `test` or `train+val`.
        options: how to score.
        run: configuration of the run that trained the model; empty if unknown.
    """

    def __init__(
        self,
        model: keras_encnet.SegmentationModel,
        data: str,
        split: str,
        options: SegmentationScoring,
        run: Mapping[str, Any],
    ):
        self.model = model
        self.options = options
        map_labels = map_labels_of(run, options.map_labels)
        opened = open_split(data, split_of(run, split), map_labels)
        [self.split] = with_pixels(model.channels, opened)
        self.name = f"evaluation-{split}{'-multi-scale' if options.multi_scale else ''}"
        self.segmenter = options.segmenter(model)
        self.settings: dict[str, Any] = {"multi_scale": settings_of(self.segmenter)}
        if self.segmenter is None:
            self.settings["working_size"] = model.chosen_size(options.size) or NATIVE
        self.ignore_class = ignore_class_of(run, options.ignore_class)

    def score(self) -> tuple[dict[str, Any], np.ndarray]:
        check(self.split, self.ignore_class)
        options, segmenter = self.options, self.segmenter
        boundary = BoundaryIoU(self.model.classes, self.ignore_class) if options.boundary else None
        how: dict[str, Any] = {
            "ignore_class": self.ignore_class,
            "absent_classes": options.absent_classes,
            "boundary": boundary,
        }
        if segmenter is None:
            metric, presence = evaluate(self.model, self.split, size=options.size, **how)
        else:
            metric, presence = evaluate_multi_scale(segmenter, self.split, **how), None
        scores = report(metric, self.split.class_names, presence)
        if boundary is not None:
            scores |= boundary_report(boundary, self.split.class_names, options.absent_classes)
        if options.with_background:
            scores["mean_iou_with_background"] = metric.mean_iou_with_background()
        return scores, np.asarray(metric.confusion_matrix)

    def table(self, scores: Mapping[str, Any]) -> str:
        return table(scores)

    def save_figures(self, folder: Path, scores: Mapping[str, Any], matrix: np.ndarray) -> None:
        save_confusion_matrix(folder / "confusion_matrix.png", matrix, self.split.class_names)
        if presence := scores.get("presence"):
            path = folder / "presence_reliability.png"
            save_reliability(path, presence["reliability"], presence["calibration_error"])
        models = {self.model.name: self.model}
        save_predictions(folder / "predictions.png", models, self.split, self.options.size)


def check(split: Split, ignore_class: Sequence[int]) -> None:
    """Reads every file of a split that is going to be scored.

    Raises:
        ValueError: if files or labels cannot be used; it names them.
    """
    contents = check_split(split, ignore_class)
    contents.raise_if_bad()
    contents.raise_if_unusable()


def ignore_class_of(
    run: Mapping[str, Any], ignore_class: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """Returns `ignore_class`, if None that of a run's configuration, if unknown the default."""
    if ignore_class is not None:
        return ignore_class
    return tuple(run.get("ignore_class", SegmentationConfig.ignore_class))


def split_of(run: Mapping[str, Any], name: str) -> str:
    """Returns the split that a name means: a run may validate on a part of its training split."""
    if run.get("val_share") is None or name != run["val_split"]:
        return name
    return part(run["train_split"], run["val_share"])


def map_labels_of(
    run: Mapping[str, Any], map_labels: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """Returns `map_labels`, if None that of a run's configuration, if unknown the default."""
    if map_labels is not None:
        return map_labels
    return tuple(run.get("map_labels", SegmentationConfig.map_labels))


def evaluate(
    model: keras_encnet.SegmentationModel,
    split: Split,
    ignore_class: Sequence[int] = (255,),
    absent_classes: str = "exclude",
    size: Size = None,
    factor: float = 1.0,
    boundary: BoundaryIoU | None = None,
) -> tuple[keras_encnet.SegmentationMetrics, dict[str, Any] | None]:
    """Scores `model` on every image of `split`, whose predictions have the size of the mask.

    Args:
        model: the model.
        split: the split.
        ignore_class: labels ignored in all scores.
        absent_classes: see `keras_encnet.SegmentationMetrics`.
        size: see `keras_encnet.SegmentationModel.segment`.
        factor: the network sees images at this multiple of `size`.
        boundary: a metric to which every image is added.

    Returns:
        The metric after all images, and the scores of the presence branch, see
        `keras_encnet.metrics.presence_scores` and, under `reliability`, the function of that name;
        None for a model without one.
    """
    [split] = with_pixels(model.channels, split)
    names = [name for name in ("segmentation", "presence") if name in model.output]
    outputs_of = CompiledOutputs(model, {name: model.output[name] for name in names})
    metric = keras_encnet.SegmentationMetrics(
        model.classes, ignore_class=ignore_class, absent_classes=absent_classes
    )
    truth, presence_logits = [], []
    batches = segmentation_batches.whole_images(split)
    for images, masks in tqdm(batches, unit="image"):
        check_values(images.numpy(), model.expected_images)
        seen = times(model.network_size(images.shape[1:3], size), factor)
        outputs = outputs_of(images.numpy(), size=seen)
        metric.update_state(masks, outputs["classes"])
        if boundary is not None:
            boundary.update(masks[0].numpy(), outputs["classes"][0])
        presence, labeled = class_presence(masks, model.classes, ignore_class)
        if "presence" in outputs and labeled[0]:
            truth.append(presence[0])
            presence_logits.append(outputs["presence"][0])
    if not presence_logits:
        return metric, None
    bins = reliability(truth, presence_logits)
    scores = presence_scores(truth, presence_logits)
    return metric, {**scores, "reliability": {k: v.tolist() for k, v in bins.items()}}


def evaluate_multi_scale(
    segmenter: keras_encnet.MultiScaleSegmenter,
    split: Split,
    ignore_class: Sequence[int] = (255,),
    absent_classes: str = "exclude",
    factor: float = 1.0,
    boundary: BoundaryIoU | None = None,
) -> keras_encnet.SegmentationMetrics:
    """Scores a multi-scale segmenter on every image of `split`, at `factor` times its native size.

    Every image is added to `boundary`.

    Returns:
        The metric after all images.
    """
    model = segmenter.model
    metric = keras_encnet.SegmentationMetrics(
        model.classes, ignore_class=ignore_class, absent_classes=absent_classes
    )
    [split] = with_pixels(model.channels, split)
    batches = segmentation_batches.whole_images(split)
    for images, masks in tqdm(batches, unit="image"):
        size = times(images.shape[1:3], factor)
        scores = segmenter(resize_images(images, size)[0])[None]
        if factor != 1:
            scores = tf.image.resize(scores, masks.shape[1:]).numpy()
        classes = scores.argmax(-1)
        metric.update_state(masks, classes)
        if boundary is not None:
            boundary.update(masks[0].numpy(), classes[0])
    return metric


def times(size: Sequence[int], factor: float) -> tuple[int, int]:
    """Returns `factor` times the size of an image, with its aspect ratio."""
    long_side = max(round(max(size) * factor), 1)
    height, width = scaled_size(size, long_side).numpy().tolist()
    return height, width


def save_predictions(
    path: str | os.PathLike,
    models: Mapping[str, keras_encnet.SegmentationModel],
    split: Split,
    size: Size = None,
) -> None:
    """Writes a page of images of a split, their truth and the predictions of some models.

    Args:
        path: the PNG file.
        models: the models by the title of their column.
        split: the split, whose images are picked evenly.
        size: see `keras_encnet.SegmentationModel.segment`.
    """
    picked = np.unique(np.linspace(0, len(split) - 1, min(SHOWN, len(split))).round().astype(int))
    channels = next(iter(models.values())).channels
    images = [read_image(split.image_paths[i], channels) for i in picked]
    truths = [read_mask(split.mask_paths[i], split.label_map) for i in picked]
    predictions = [model.segment(images, size=size) for model in models.values()]
    rows = list(zip(map(as_rgb, images), truths, *predictions, strict=True))
    save_comparison(path, rows, ["image", "truth", *models], split.class_names)
