"""Scores a model: segmentation on whole images at their native size, or classification.

python -m training.evaluate RUN
python -m training.evaluate RUN_OR_MODEL --data FOLDER --split test
python -m training.evaluate RUN_OR_MODEL --data FOLDER --split test --multi-scale
"""

from pathlib import Path
from typing import Literal

import numpy as np
import tabulate
import tensorflow as tf
from tqdm import tqdm

import keras_encnet
from keras_encnet.losses import class_presence
from keras_encnet.metrics import presence_scores
from training import cli
from training.datasets import cifar, open_split
from training.figures.confusion_matrix import save_confusion_matrix
from training.figures.overlays import save_comparison
from training.input import cifar_batches, segmentation_batches
from training.input.folder import read_mask
from training.input.image_files import decode_image
from training.run import run_folder, trained_models

# Images on the page of predictions, spread evenly over the split.
SHOWN = 6
# How published scores were measured, unless told.
MULTI_SCALE = {"base_size": 520, "crop_size": 480, "protocol": "official"}


def main(
    model: Path,
    data: str | None = None,
    split: str = "test",
    ignore_class: tuple[int, ...] | None = None,
    absent_classes: Literal["exclude", "zero"] | None = None,
    with_background: bool = False,
    multi_scale: bool = False,
    base_size: int | tuple[int, int] | None = None,
    crop_size: int | None = None,
    protocol: Literal["official", "mmsegmentation"] | None = None,
    output: Path | None = None,
):
    """Scores a model: segmentation on whole images at their native size, or classification.

    Args:
        model: a run folder, whose best model is meant, or a `.keras` file.
        data: a folder data set, `scenes`, or `cifar10` or `cifar100` for a
            classifier; by default what the run was trained on.
        split: such as `test` or `train+val`.
        ignore_class: the labels that count nowhere; those of the run, or 255, by default.
        absent_classes: what a class scores that neither truth nor prediction has:
            `exclude` (left out of the mean, the default) or `zero` (the released code).
        with_background: also tell the mean IoU over one class more, the void,
            as if wholly missed: PASCAL-Context's number over 60 classes.
        multi_scale: six scales and their mirror images, as published scores
            were measured. The page of predictions stays single-scale.
        base_size: long side of the images at scale 1, in multi-scale, 520 by default; for
            mmsegmentation also the bounds of both sides, such as 2048 512.
        crop_size: side of its windows, 480 by default.
        protocol: its arithmetic, see `keras_encnet.MultiScaleSegmenter`; official by default.
        output: folder of the results; `evaluation-<split>` in the run folder,
            or beside the model, by default, with `-multi-scale` if it is.
    """
    how = multi_scale_options(
        multi_scale, base_size=base_size, crop_size=crop_size, protocol=protocol
    )
    path = trained_models.find_model(model)
    data = data or trained_models.data_of_run(path)
    network = trained_models.load_model(path, trained_models.KINDS)
    result = {"model": str(path), "data": data, "split": split}
    if isinstance(network, keras_encnet.ClassificationModel):
        segmenting = {
            "ignore_class": ignore_class,
            "absent_classes": absent_classes,
            "with_background": with_background or None,
        }
        segmenting["multi_scale"] = multi_scale or None
        cli.refuse(segmenting, "to a classifier")
        images = cifar.read_split(data, split, trained_models.run_of(path).get("data_dir"))
        trained_models.check_classes(network, images, path, data)
        matrix = confusion_matrix(network, images)
        scores = report_classification(matrix, images.class_names)
        print(classification_table(scores))
    else:
        images = open_split(data, split)
        trained_models.check_classes(network, images, path, data)
        ignore_class, absent_classes = (
            trained_models.ignore_class_of_run(path) if ignore_class is None else ignore_class,
            absent_classes or "exclude",
        )
        if multi_scale:
            segmenter = keras_encnet.MultiScaleSegmenter(network, **how)
            metric, presence = (
                evaluate_multi_scale(segmenter, images, ignore_class, absent_classes),
                None,
            )
        else:
            metric, presence = evaluate(network, images, ignore_class, absent_classes)
        result["multi_scale"] = how
        matrix = metric.confusion_matrix
        scores = report(metric, images.class_names, presence)
        if with_background:
            scores["mean_iou_with_background"] = metric.mean_iou_with_background()
        print(table(scores))
    output = output or path.parent / f"evaluation-{split}{'-multi-scale' if multi_scale else ''}"
    run_folder.write_json(output / "scores.json", {**result, "images": len(images), **scores})
    save_confusion_matrix(output / "confusion_matrix.png", matrix, images.class_names)
    if isinstance(network, keras_encnet.SegmentationModel):
        save_page(output / "predictions.png", network, images)
    print(f"written to {output}")


def multi_scale_options(multi_scale, **given):
    """Returns the options of multi-scale evaluation, `MULTI_SCALE` where None; None without it.

    Raises:
        ValueError: if any is given without it.
    """
    if not multi_scale:
        cli.refuse(given, "without multi-scale evaluation")
        return None
    return {key: MULTI_SCALE[key] if value is None else value for key, value in given.items()}


def evaluate(model, split, ignore_class=(255,), absent_classes="exclude", size=1.0):
    """Runs `model` over every image of `split`, one at a time, at native size or `size` times that.

    Masks keep their size: the answers are resized to it.

    Returns:
        A `SegmentationMetrics` that has seen them all, and the scores of the
        presence branch, see `keras_encnet.metrics.presence_scores`, or None.
    """
    scorer = model.with_outputs(set(model.output) & {"segmentation", "presence"})
    metric = keras_encnet.SegmentationMetrics(
        model.classes, ignore_class=ignore_class, absent_classes=absent_classes
    )

    @tf.function(
        input_signature=[
            tf.TensorSpec((1, None, None, 3), tf.float32),
            tf.TensorSpec((1, None, None), tf.int32),
        ]
    )
    def answer(images, masks):
        outputs = scorer(_resized(images, size), training=False)
        scores = outputs["segmentation"]
        if size != 1:
            scores = tf.image.resize(scores, tf.shape(masks)[1:])
        metric.update_state(masks, scores)
        return class_presence(masks, model.classes, ignore_class), outputs.get("presence")

    truth, logits = [], []
    batches = segmentation_batches.whole_images(split, mode=model.preprocessing)
    for images, masks in tqdm(batches, unit="image"):
        (presence, told), logit = answer(images, masks)
        if logit is not None and told[0]:
            truth.append(presence[0])
            logits.append(logit[0])
    return metric, presence_scores(truth, logits) if logits else None


def evaluate_multi_scale(segmenter, split, ignore_class=(255,), absent_classes="exclude", size=1.0):
    """Runs a `MultiScaleSegmenter` over every image of `split`, at `size` times its own size.

    Returns:
        A `SegmentationMetrics` that has seen them all.
    """
    model = segmenter.model
    metric = keras_encnet.SegmentationMetrics(
        model.classes, ignore_class=ignore_class, absent_classes=absent_classes
    )
    images = segmentation_batches.whole_images(split, mode=model.preprocessing)
    for image, mask in tqdm(images, unit="image"):
        scores = segmenter(_resized(image, size)[0])[None]
        if size != 1:
            scores = tf.image.resize(scores, mask.shape[1:]).numpy()
        metric.update_state(mask, scores.argmax(-1))
    return metric


def _resized(images, size):
    """Images `(batch, height, width, channels)` of `size` times their height and width."""
    if size == 1:
        return images
    shape = tf.cast(tf.shape(images)[1:3], tf.float32) * size
    shape = tf.maximum(tf.cast(tf.round(shape), tf.int32), 1)
    return tf.image.resize(images, shape, antialias=True)


def confusion_matrix(model, split):
    """Runs a classifier over every image of `split`.

    Returns:
        Counts `(classes, classes)`; rows are the truth, columns the prediction.
    """
    answers = model.predict(cifar_batches.all_images(split, mode=model.preprocessing), verbose=0)
    return tf.math.confusion_matrix(split.labels, answers.argmax(-1), model.classes).numpy()


def save_page(path, model, split, shown=SHOWN):
    """Writes a page of images, their truth and what `model` says."""
    picked = np.unique(np.linspace(0, len(split) - 1, min(shown, len(split))).round().astype(int))
    pixels = [decode_image(str(split.image_paths[i])).numpy() for i in picked]
    truths = [read_mask(split.mask_paths[i]) for i in picked]
    rows = list(zip(pixels, truths, model.segment(pixels), strict=True))
    save_comparison(path, rows, ["image", "truth", model.name], split.class_names)


def report(metric, class_names, presence=None):
    """Returns all scores as a dict of plain numbers, per class and of presence among them."""
    per_class = {
        name: None if np.isnan(iou) else float(iou)
        for name, iou in zip(class_names, metric.per_class_iou(), strict=True)
    }
    scores = {**{k: float(v) for k, v in metric.result().items()}, "iou": per_class}
    return scores if presence is None else {**scores, "presence": presence}


def table(scores):
    """Returns the scores as text, a line a class."""
    rows = [(name, None if iou is None else 100 * iou) for name, iou in scores["iou"].items()]
    lines = tabulate.tabulate(rows, ("class", "IoU %"), floatfmt=".1f", missingval="absent")
    summary = (
        f"pixel accuracy {100 * scores['pixel_accuracy']:.1f} %   "
        f"mean IoU {100 * scores['mean_iou']:.1f} %   "
        f"ADE score {100 * scores['ade_score']:.1f} %"
    )
    if "mean_iou_with_background" in scores:
        summary += f"   with background {100 * scores['mean_iou_with_background']:.1f} %"
    if "presence" in scores:
        presence = scores["presence"]
        summary += (
            f"\npresence: average precision {100 * presence['average_precision']:.1f} %   "
            f"SE-loss {presence['se_loss']:.3f}, of base rates {presence['base_rate_loss']:.3f}"
        )
    return f"{lines}\n\n{summary}"


def report_classification(matrix, class_names):
    """Returns accuracy, error and each class's recall from a confusion matrix, as plain numbers."""
    right, images = np.diag(matrix), matrix.sum(1)
    accuracy = float(right.sum() / images.sum())
    recall = {
        name: float(r / n) if n else None
        for name, r, n in zip(class_names, right, images, strict=True)
    }
    return {"accuracy": accuracy, "error": 1 - accuracy, "recall": recall}


def classification_table(scores):
    """Returns the scores of a classifier as text, a line a class."""
    rows = [(name, None if r is None else 100 * r) for name, r in scores["recall"].items()]
    lines = tabulate.tabulate(rows, ("class", "recall %"), floatfmt=".1f", missingval="absent")
    return f"{lines}\n\naccuracy {scores['accuracy']:.2%}   error {scores['error']:.2%}"


if __name__ == "__main__":
    cli.run(main)
