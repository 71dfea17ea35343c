"""Score one model at smaller and larger sizes than that at which it was trained.

    python -m training.research.image_sizes RUN --data FOLDER --multi-scale

The network sees images at multiples of its working size, or of their own size if it has none, and
its logits are resized back, so that at every size each pixel of the original mask counts once.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes

import keras_encnet
from keras_encnet.layers import Encoding
from keras_encnet.utils.files import write_json
from keras_encnet.utils.sizes import NATIVE
from training import cli
from training.datasets.segmentation_data import open_split
from training.input.folder import Split
from training.research.experiments import markdown_table, write_text
from training.run import trained_models
from training.run.environment import environment
from training.tasks.multi_scale import MultiScaleOptions, settings_of
from training.tasks.segmentation_report import report
from training.tasks.segmentation_scores import (
    check,
    evaluate,
    evaluate_multi_scale,
    ignore_class_of,
    map_labels_of,
    split_of,
)
from training.tasks.splits import with_pixels


def main(
    model: Path,
    data: str | None = None,
    split: str = "test",
    sizes: tuple[float, ...] = (0.5, 1.0, 2.0),
    every: int = 1,
    ignore_class: tuple[int, ...] | None = None,
    sums: int | None = None,
    multi_scale: OmitArgPrefixes[MultiScaleOptions] = MultiScaleOptions(),
    output: Path | None = None,
) -> None:
    """Score one model at several sizes of its images.

    Args:
        model: Run folder (its best model), or `.keras` file.
        data: Folder data set or `scenes`. By default the data that the model was trained on.
        split: Split to score, such as `test` or `train+val`.
        sizes: Factors of the working size.
        every: Score every n-th image, starting with the first.
        ignore_class: Labels ignored in all scores. By default as in training.
        sums: Also score the model as if its codes were sums over pixels, trained on feature maps of
            this many pixels: 576 for crops of 192 at output stride 8.
        multi_scale: Evaluation at several scales, in addition.
        output: Folder of the results. By default `image-sizes-SPLIT` next to the model.
    """
    if not all(size > 0 for size in sizes):
        raise ValueError(f"`sizes` must be greater than 0. Received: sizes={sizes}")
    path = trained_models.find_model(model)
    data = data or trained_models.data_of_run(path)
    run = trained_models.run_of(path)
    images = open_split(data, split_of(run, split), map_labels_of(run))
    network = trained_models.load_model(path)
    [images] = with_pixels(network.channels, images)
    trained_models.check_classes(network, images.class_names, path, data)
    images = every_nth(images, every)
    ignore_class = ignore_class_of(run, ignore_class)
    check(images, ignore_class)
    networks = {"unchanged": network}
    if sums is not None:
        networks["sums"] = with_sums(network, sums)
    segmenter = multi_scale.segmenter(network)
    results = list(score(networks, segmenter, images, sizes, ignore_class))
    output = output or path.parent / f"image-sizes-{split}"
    record: dict[str, Any] = {
        "data": Path(data).name,
        "split": split,
        "images": len(images),
        "sums": sums,
        "working_size": network.working_size or NATIVE,
    }
    record |= {"multi_scale": settings_of(segmenter), "results": results}
    record["environment"] = environment()
    write_json(output / "scores.json", record)
    write_text(output / "table.md", table(results))
    print(f"{table(results)}Results written to {output}")


def score(
    networks: Mapping[str, keras_encnet.SegmentationModel],
    segmenter: keras_encnet.MultiScaleSegmenter | None,
    images: Split,
    sizes: Sequence[float],
    ignore_class: Sequence[int],
) -> Iterator[dict[str, Any]]:
    """Yields the result of each network, and of the segmenter if there is one, at each size.

    A result has the `size`, the name of the `model`, the `seconds` it took and the `scores`.
    """
    for size in sizes:
        for name, network in networks.items():
            start = time.monotonic()
            metric, presence = evaluate(network, images, ignore_class, factor=size)
            scores = report(metric, images.class_names, presence)
            seconds = time.monotonic() - start
            yield {"size": size, "model": name, "seconds": seconds, "scores": scores}
        if segmenter is not None:
            start = time.monotonic()
            metric = evaluate_multi_scale(segmenter, images, ignore_class, factor=size)
            scores = report(metric, images.class_names)
            seconds = time.monotonic() - start
            yield {"size": size, "model": "multi-scale", "seconds": seconds, "scores": scores}


def every_nth(split: Split, n: int) -> Split:
    """Returns every n-th image of a split, starting with the first.

    Raises:
        ValueError: if `n` is less than 1.
    """
    if n < 1:
        raise ValueError(f"`every` must be at least 1. Received: every={n}")
    fields = ("stems", "image_paths", "mask_paths")
    return dataclasses.replace(split, **{field: getattr(split, field)[::n] for field in fields})


def with_sums(model: keras_encnet.SegmentationModel, pixels: int) -> keras_encnet.SegmentationModel:
    """Returns a copy of a model whose codes are sums over pixels instead of means.

    Batch normalization divides by the factor between sum and mean, as it would have learned to. So
    the two models agree where a feature map has `pixels` pixels, and differ elsewhere.

    Args:
        model: an EncNet with `aggregation="mean"`.
        pixels: number of pixels of a feature map in training.

    Raises:
        ValueError: if the model has no codewords or its codes are sums already, or if `pixels` is
            less than 1.
    """
    encodings = [layer for layer in model.layers if isinstance(layer, Encoding)]
    if not encodings or not all(layer.aggregation == "mean" for layer in encodings) or pixels < 1:
        raise ValueError(
            "Sums require an EncNet whose codes are means, and at least one pixel. "
            f"Received: model={model.name!r}, pixels={pixels}"
        )
    config = model.get_config()
    names = {layer.name for layer in encodings}
    for layer in config["layers"]:
        if layer["name"] in names:
            layer["config"]["aggregation"] = "sum"
    summed = type(model).from_config(config)
    summed.set_weights(model.get_weights())
    for layer in encodings:
        # Distances were means over channels; the smoothing factors absorb that.
        scale = summed.get_layer(layer.name).scale
        scale.assign(layer.scale / layer.codewords.shape[1])
        norm = summed.get_layer(layer.name.replace("_encoding", "_bn"))
        norm.moving_mean.assign(norm.moving_mean * pixels)
        variance = norm.moving_variance + norm.epsilon
        norm.moving_variance.assign(variance * pixels**2 - norm.epsilon)
    return summed


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns the results as a Markdown table."""
    rows = []
    for result in results:
        scores = result["scores"]
        presence = scores.get("presence")
        rows.append(
            (
                f"{result['size']:g}",
                result["model"],
                f"{100 * scores['pixel_accuracy']:.1f}",
                f"{100 * scores['mean_iou']:.1f}",
                f"{100 * presence['average_precision']:.1f}" if presence else "",
                f"{presence['se_loss']:.3f}" if presence else "",
            )
        )
    return markdown_table(rows, ("size", "model", "pixAcc %", "mIoU %", "presence AP %", "SE-loss"))


if __name__ == "__main__":
    cli.run(main)
