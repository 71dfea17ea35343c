"""Scores a model on whole images at their native size.

python -m training.evaluate RUN_OR_MODEL --data FOLDER --split test
python -m training.evaluate RUN_OR_MODEL --data FOLDER --split test --multi-scale
"""

from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tabulate
from tqdm import tqdm

import keras_encnet
from training import cli, input_pipeline, pictures, records
from training.datasets import open_split
from training.datasets.folder import read_mask

# Images on the page of predictions, spread evenly over the split.
SHOWN = 6


def main(
    model: Path,
    data: str = "scenes",
    split: str = "test",
    void: tuple[int, ...] = (255,),
    absent: str = "exclude",
    multi_scale: bool = False,
    base_size: int | tuple[int, int] = 520,
    crop_size: int = 480,
    protocol: Literal["official", "mmsegmentation"] = "official",
    output: Path | None = None,
):
    """Scores a model on whole images at their native size.

    Args:
        model: a run folder, whose best model is meant, or a `.keras` file.
        data: a folder data set, or `scenes`.
        split: such as `test` or `train+val`.
        void: the labels that count nowhere.
        absent: what a class scores that neither truth nor prediction has:
            `exclude` (left out of the mean) or `zero` (the released code).
        multi_scale: six scales and their mirror images, as published scores
            were measured. The page of predictions stays single-scale.
        base_size: long side of the images at scale 1, in multi-scale; for
            mmsegmentation also the bounds of both sides, such as 2048 512.
        crop_size: side of its windows.
        protocol: its arithmetic, see `keras_encnet.MultiScaleSegmenter`.
        output: folder of the results; `evaluation-<split>` in the run folder,
            or beside the model, by default, with `-multi-scale` if it is.
    """
    path = find_model(model)
    images = open_split(data, split)
    network = keras.models.load_model(path)
    if network.classes != len(images.class_names):
        raise ValueError(
            f"The model knows {network.classes} classes and the data has "
            f"{len(images.class_names)}. Received: model={str(path)!r}, data={data!r}"
        )
    how = {"base_size": base_size, "crop_size": crop_size, "protocol": protocol}
    if multi_scale:
        segmenter = keras_encnet.MultiScaleSegmenter(network, **how)
        metric = evaluate_multi_scale(segmenter, images, void, absent)
    else:
        metric = evaluate(network, images, void, absent)
    scores = report(metric, images.class_names)
    print(table(scores))
    output = output or path.parent / f"evaluation-{split}{'-multi-scale' if multi_scale else ''}"
    result = {"model": str(path), "data": data, "split": split, "images": len(images)}
    result["multi_scale"] = how if multi_scale else None
    records.write_json(output / "scores.json", {**result, **scores})
    pictures.save_confusion_matrix(
        output / "confusion_matrix.png", metric.confusion_matrix, images.class_names
    )
    save_page(output / "predictions.png", network, images)
    print(f"written to {output}")


def find_model(path):
    """Returns the path of the model that `path`, a run folder or a `.keras` file, means."""
    path = Path(path)
    found = path / "best.keras" if path.is_dir() else path
    if not found.exists():
        raise FileNotFoundError(
            "Expected a `.keras` file, or the folder of a run that has saved one. "
            f"Received: model={str(path)!r}"
        )
    return found


def evaluate(model, split, void=(255,), absent="exclude"):
    """Runs `model` over every image of `split`, one at a time, at native size.

    Returns:
        A `SegmentationMetrics` that has seen them all.
    """
    scorer = model.with_outputs("segmentation")
    objectives = keras_encnet.objectives(scorer, void=void, absent=absent)
    scorer.compile(**objectives)
    scorer.evaluate(input_pipeline.whole_images(split, mode=model.preprocessing))
    return objectives["metrics"]["segmentation"]


def evaluate_multi_scale(segmenter, split, void=(255,), absent="exclude"):
    """Runs a `MultiScaleSegmenter` over every image of `split`.

    Returns:
        A `SegmentationMetrics` that has seen them all.
    """
    model = segmenter.model
    metric = keras_encnet.SegmentationMetrics(model.classes, void=void, absent=absent)
    images = input_pipeline.whole_images(split, mode=model.preprocessing)
    for image, mask in tqdm(images, unit="image"):
        metric.update_state(mask, segmenter(image[0]).argmax(-1)[None])
    return metric


def save_page(path, model, split, shown=SHOWN):
    """Writes a page of images, their truth and what `model` says."""
    picked = np.unique(np.linspace(0, len(split) - 1, min(shown, len(split))).round().astype(int))
    pixels = [input_pipeline.decode_image(str(split.image_paths[i])).numpy() for i in picked]
    truths = [read_mask(split.mask_paths[i]) for i in picked]
    rows = list(zip(pixels, truths, model.segment(pixels), strict=True))
    pictures.save_comparison(path, rows, ["image", "truth", model.name], split.class_names)


def report(metric, class_names):
    """Returns the scores of `metric` as a dict of plain numbers, per class among them."""
    per_class = {
        name: None if np.isnan(iou) else float(iou)
        for name, iou in zip(class_names, metric.per_class_iou(), strict=True)
    }
    return {**{k: float(v) for k, v in metric.result().items()}, "iou": per_class}


def table(scores):
    """Returns the scores as text, a line a class."""
    rows = [(name, None if iou is None else 100 * iou) for name, iou in scores["iou"].items()]
    lines = tabulate.tabulate(rows, ("class", "IoU %"), floatfmt=".1f", missingval="absent")
    summary = (
        f"pixel accuracy {100 * scores['pixel_accuracy']:.1f} %   "
        f"mean IoU {100 * scores['mean_iou']:.1f} %   "
        f"ADE score {100 * scores['ade_score']:.1f} %"
    )
    return f"{lines}\n\n{summary}"


if __name__ == "__main__":
    cli.run(main)
