"""Compare the context of crops, of images at the working size, and at their native size.

    python -m training.research.context_views RUN --data FOLDER --split val

The code that a Context Encoding Module computes depends on what the network sees. For each view,
the command measures the code, the gates and the predicted presence of classes, and draws them next
to each other: a module that is trained on crops of a size at which few classes are visible is used
outside of its training distribution when it sees whole images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

import keras_encnet
from keras_encnet.losses import class_presence
from keras_encnet.metrics import presence_scores
from keras_encnet.utils.files import write_json
from keras_encnet.utils.sizes import resize_images
from training import cli
from training.datasets.segmentation_data import open_split
from training.figures.context_views import save_views
from training.input import segmentation_batches
from training.research.experiments import markdown_table, write_text
from training.run import trained_models
from training.run.environment import environment
from training.tasks.segmentation_scores import check, ignore_class_of, map_labels_of, split_of
from training.tasks.splits import with_pixels

CROP, WORKING, NATIVE = "crops", "working size", "native size"
VIEWS = (CROP, WORKING, NATIVE)


def main(
    model: Path,
    data: str | None = None,
    split: str = "val",
    ignore_class: tuple[int, ...] | None = None,
    seed: int = 0,
    output: Path | None = None,
) -> None:
    """Compare the context of crops, of images at the working size, and at their native size.

    Args:
        model: Run folder (its best model), or `.keras` file of a run.
        data: Folder data set or `scenes`. By default the data that the model was trained on.
        split: Split whose images are compared.
        ignore_class: Ignored labels. By default as in training.
        seed: Seed of the positions of crops.
        output: Folder of the results. By default `context-views-SPLIT` next to the model.
    """
    path = trained_models.find_model(model)
    run = trained_models.run_of(path)
    data = data or trained_models.data_of_run(path)
    images = open_split(data, split_of(run, split), map_labels_of(run))
    network = trained_models.load_model(path)
    [images] = with_pixels(network.channels, images)
    trained_models.check_classes(network, images.class_names, path, data)
    ignore_class = ignore_class_of(run, ignore_class)
    check(images, ignore_class)
    if not run.get("crop_size"):
        raise ValueError(f"The run of this model must record its `crop_size`. Received: {path}")
    context = outputs_of(network)
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in VIEWS}
    rng = np.random.default_rng(seed)
    for image, mask in tqdm(segmentation_batches.whole_images(images), unit="image"):
        for name, (view, labels) in views(network, image, mask, run["crop_size"], rng).items():
            presence, labeled = class_presence(labels, network.classes, ignore_class)
            if labeled[0]:
                seen = context(view, training=False)
                values = {key: np.asarray(value)[0] for key, value in seen.items()}
                found[name].append({**values, "truth": np.asarray(presence)[0]})
    stacked = {
        name: {key: np.stack([view[key] for view in seen]) for key in seen[0]}
        for name, seen in found.items()
    }
    rows = list(compare(stacked))
    output = output or path.parent / f"context-views-{split}"
    record = {"data": Path(data).name, "split": split, "images": len(images), "seed": seed}
    record |= {"working_size": network.working_size, "crop_size": run["crop_size"]}
    write_json(output / "views.json", {**record, "views": rows, "environment": environment()})
    write_text(output / "table.md", table(rows))
    save_views(output / "views.png", stacked)
    print(f"{table(rows)}Results written to {output}")


def outputs_of(model: keras_encnet.SegmentationModel) -> keras.Model:
    """Returns a model of the code, the gates and the presence logits of images as they are.

    Raises:
        ValueError: if the model has no Context Encoding Module that predicts presence.
    """
    names = {layer.name for layer in model.layers}
    if "context_attention" not in names or "presence" not in model.output:
        raise ValueError(
            "Expected an EncNet that predicts presence. "
            f"Received: model={model.name!r}, outputs={sorted(model.output)}"
        )
    attention = model.get_layer("context_attention")
    code = attention.input[1]
    outputs = {"code": code, "presence": model.output["presence"]}
    outputs["gates"] = _Gates(attention)(code)
    return keras.Model(model.input, outputs)


class _Gates(keras.layers.Layer):
    """The gates of a `FeatureMapAttention`, as an output."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def call(self, code):
        return self.attention.gates(code)


def views(
    model: keras_encnet.SegmentationModel,
    image: tf.Tensor,
    mask: tf.Tensor,
    crop_size: Sequence[int],
    rng: np.random.Generator,
) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Returns what is seen of an image in each view, with its mask.

    Args:
        model: the model, which has a working size.
        image: `(1, height, width, channels)`.
        mask: `(1, height, width)`.
        crop_size: height and width of the crop of the image at the working size, if it is larger.
        rng: source of the position of the crop.
    """
    size = [int(side) for side in model.network_size(image.shape[1:3])]
    resized = resize_images(image, size)
    rows, columns = (
        _nearest(side, target) for side, target in zip(mask.shape[1:], size, strict=True)
    )
    labels = tf.gather(tf.gather(mask, rows, axis=1), columns, axis=2)
    height, width = np.minimum(crop_size, size)
    y, x = rng.integers(size[0] - height + 1), rng.integers(size[1] - width + 1)
    crop = (slice(None), slice(y, y + height), slice(x, x + width))
    return {
        CROP: (resized[crop], labels[crop]),
        WORKING: (resized, mask),
        NATIVE: (tf.cast(image, tf.float32), mask),
    }


def _nearest(side, target):
    """Returns the indices of the nearest rows or columns when a side is resized."""
    return ((np.arange(target) + 0.5) * side / target).astype(int)


def compare(stacked: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[dict[str, Any]]:
    """Yields measurements of each view.

    Args:
        stacked: for each view `code`, `gates`, `presence` (logits) and `truth`, with one row per
            image.

    Returns:
        Per view: its name; `classes`, the mean number of classes present; `code_shift`, the
        distance of its mean code from that of the crops, divided by the root of the mean squared
        distance of the codes of crops from their mean; `gate_difference`, the mean absolute
        difference of its mean gates from those of the crops; and the scores of presence, see
        `keras_encnet.metrics.presence_scores`.
    """
    codes = stacked[CROP]["code"]
    center, gates = codes.mean(axis=0), stacked[CROP]["gates"].mean(axis=0)
    spread = np.sqrt(np.square(codes - center).sum(axis=1).mean())
    for name, seen in stacked.items():
        shift = np.linalg.norm(seen["code"].mean(axis=0) - center) / spread
        yield {
            "view": name,
            "classes": float(seen["truth"].sum(axis=1).mean()),
            "code_shift": float(shift),
            "gate_difference": float(np.abs(seen["gates"].mean(axis=0) - gates).mean()),
            **presence_scores(seen["truth"], seen["presence"]),
        }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the measurements as a Markdown table."""
    header = ("view", "classes present", "code moved by", "gates moved by")
    cells = [
        (
            row["view"],
            f"{row['classes']:.1f}",
            f"{row['code_shift']:.2f}",
            f"{row['gate_difference']:.3f}",
            f"{row['se_loss']:.3f} ({row['base_rate_loss']:.3f})",
            f"{100 * row['average_precision']:.1f}",
        )
        for row in rows
    ]
    return markdown_table(cells, (*header, "SE-loss (base rates)", "presence AP %"))


if __name__ == "__main__":
    cli.run(main)
