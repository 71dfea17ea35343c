"""Scores one model on images that are smaller or larger than those it learned from.

    python -m training.research.image_sizes RUN --data FOLDER --multi-scale

The images are resized before the model sees them and its answer is resized back, so that the
pixels of the masks as they are count, once each, at every size.
"""

import dataclasses
import time
from pathlib import Path

import tabulate
from tyro.conf import OmitArgPrefixes

from keras_encnet.layers import Encoding
from keras_encnet.utils.files import atomic_file
from training import cli
from training.datasets.segmentation_data import open_split
from training.run import run_folder, trained_models
from training.tasks.multi_scale import MultiScaleOptions
from training.tasks.segmentation_scores import (
    evaluate,
    evaluate_multi_scale,
    ignore_class_of,
    report,
)


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
):
    """Scores one model on images of several sizes.

    Args:
        model: a run folder, whose best model is meant, or a `.keras` file.
        data: a folder data set, or `scenes`; by default what the run was trained on.
        split: such as `test` or `train+val`.
        sizes: factors of height and width.
        every: score every n-th image, from the first.
        ignore_class: the labels that count nowhere; those of the run, or 255, by default.
        sums: also score the model as if its codes were sums over pixels, learned on feature maps of
            so many pixels: 576 for crops of 192 at output stride 8.
        multi_scale: Evaluation at several scales, as published scores were measured.
        output: folder of the results; `image-sizes-<split>` in the run folder, or beside the model,
            by default.
    """
    if not all(size > 0 for size in sizes):
        raise ValueError(f"`sizes` must be above 0. Received: sizes={sizes}")
    path = trained_models.find_model(model)
    data = data or trained_models.data_of_run(path)
    ignore_class = (
        ignore_class_of(trained_models.run_of(path)) if ignore_class is None else ignore_class
    )
    images = open_split(data, split)
    network = trained_models.load_model(path)
    trained_models.check_classes(network, images, path, data)
    images = every_nth(images, every)
    networks = {"as it is": network}
    if sums is not None:
        networks["sums"] = with_sums(network, sums)
    segmenter = multi_scale.segmenter(network)
    results = []
    for size in sizes:
        for name, scored in networks.items():
            begun = time.monotonic()
            metric, presence = evaluate(scored, images, ignore_class, size=size)
            results.append(_result(size, name, begun, report(metric, images.class_names, presence)))
        if segmenter is not None:
            begun = time.monotonic()
            metric = evaluate_multi_scale(segmenter, images, ignore_class, size=size)
            results.append(_result(size, "multi-scale", begun, report(metric, images.class_names)))
    output = output or path.parent / f"image-sizes-{split}"
    record = {"data": Path(data).name, "split": split, "images": len(images), "sums": sums}
    record |= {
        "multi_scale": multi_scale.settings(),
        "results": results,
        "environment": run_folder.environment(),
    }
    run_folder.write_json(output / "scores.json", record)
    with atomic_file(output / "table.md") as temporary:
        temporary.write_text(table(results))
    print(f"{table(results)}written to {output}")


def every_nth(split, n):
    """Returns every n-th image of a `Split`, from the first.

    Raises:
        ValueError: unless `n` is at least 1.
    """
    if n < 1:
        raise ValueError(f"`every` must be at least 1. Received: every={n}")
    fields = ("stems", "image_paths", "mask_paths")
    return dataclasses.replace(split, **{field: getattr(split, field)[::n] for field in fields})


def with_sums(model, pixels):
    """Returns the model whose codes are sums over pixels, and else what `model` is.

    Batch normalization takes the factor between sum and mean out again, as it would have learned
    to. So the two agree where a feature map has `pixels` pixels, and differ elsewhere.

    Args:
        model: an EncNet with `aggregation="mean"`.
        pixels: of the feature maps of its crops.

    Raises:
        ValueError: for a model without codewords, or whose codes are sums already, and for
            `pixels` below 1.
    """
    encodings = [layer for layer in model.layers if isinstance(layer, Encoding)]
    if not encodings or not all(layer.aggregation == "mean" for layer in encodings) or pixels < 1:
        raise ValueError(
            "Expected an EncNet whose codes are means, and at least one pixel. "
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
        # Distances were means over channels, and the factors take that in.
        scale = summed.get_layer(layer.name).scale
        scale.assign(layer.scale / layer.codewords.shape[1])
        norm = summed.get_layer(layer.name.replace("_encoding", "_bn"))
        norm.moving_mean.assign(norm.moving_mean * pixels)
        variance = norm.moving_variance + norm.epsilon
        norm.moving_variance.assign(variance * pixels**2 - norm.epsilon)
    return summed


def _result(size, name, begun, scores):
    return {
        "size": size,
        "answer": name,
        "seconds": time.monotonic() - begun,
        "scores": scores,
    }


def table(results):
    """Returns the results as a Markdown table."""
    lines = []
    for result in results:
        scores = result["scores"]
        presence = scores.get("presence")
        lines.append(
            (
                f"{result['size']:g}",
                result["answer"],
                f"{100 * scores['pixel_accuracy']:.1f}",
                f"{100 * scores['mean_iou']:.1f}",
                f"{100 * presence['average_precision']:.1f}" if presence else "",
                f"{presence['se_loss']:.3f}" if presence else "",
            )
        )
    header = ("size", "answer", "pixAcc %", "mIoU %", "presence AP %", "SE-loss")
    return tabulate.tabulate(lines, header, tablefmt="github", disable_numparse=True) + "\n"


if __name__ == "__main__":
    cli.run(main)
