"""The table of published weights, `pretrained.json`."""

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

from keras_encnet.labels import ADE20K, CITYSCAPES, PASCAL_CONTEXT, PASCAL_CONTEXT_60, VOC

COLORS: dict[str, Mapping[str, tuple[int, ...]]] = {
    "ade20k": ADE20K,
    "cityscapes": CITYSCAPES,
    "pascal_context": PASCAL_CONTEXT,
    "pascal_context_60": PASCAL_CONTEXT_60,
    "voc2012": VOC,
}


@dataclasses.dataclass(frozen=True)
class Published:
    """One published model.

    Attributes:
        network: the builder, such as `"EncNet50"`.
        weights: the name, as in `EncNet50(weights=...)`: data set, source, and as far as the file
            name states them, size of the crops, iterations, and what distinguishes the training.
        dataset: `"ade20k"`, `"cityscapes"`, `"pascal_context"` (59 classes), `"pascal_context_60"`
            (with the background) or `"voc2012"`.
        url: where the authors publish the checkpoint.
        algorithm: hash function, `"sha1"` or `"sha256"`.
        digest: the first hexadecimal digits of the checkpoint's hash, as far as published.
        structure: arguments of the builder that the weights require: the variant, and where the
            model differs from the variant.
        protocol: arguments of `MultiScaleSegmenter` with which the authors measured `mean_iou`.
        mean_iou: published mean IoU in percent, or None.
        mean_iou_multi_scale: the same with six scales and mirror images, if `protocol` has one
            scale and both are published.
        pixel_accuracy: published pixel accuracy in percent, or None.
    """

    network: str
    weights: str
    dataset: str
    url: str
    algorithm: str
    digest: str
    structure: dict[str, Any]
    protocol: dict[str, Any]
    mean_iou: float | None = None
    mean_iou_multi_scale: float | None = None
    pixel_accuracy: float | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per class, in the order of the logits."""
        return tuple(COLORS[self.dataset])

    @property
    def palette(self) -> tuple[tuple[int, ...], ...]:
        """One color `(red, green, blue)` per class, 0 to 255."""
        return tuple(COLORS[self.dataset].values())

    @property
    def file_name(self) -> str:
        """The name of the checkpoint file."""
        return self.url.rsplit("/", 1)[1]


@functools.cache
def table() -> tuple[Published, ...]:
    """Returns all published models."""
    file = importlib.resources.files("keras_encnet.applications") / "pretrained.json"
    facts = json.loads(file.read_text())
    return tuple(_published(row, facts) for row in facts["models"])


def _published(row: Mapping[str, Any], facts: Mapping[str, Any]) -> Published:
    """Returns a row with the facts that it shares with others: those of the parts of its name."""
    weights, file = row["weights"], row["file"]
    dataset = max((name for name in COLORS if weights.startswith(f"{name}_")), key=len)
    parts = weights.removeprefix(f"{dataset}_").split("_")
    shared = [facts["datasets"][dataset], *(facts["parts"][part] for part in parts)]
    merged: dict[str, Any] = {
        "dataset": dataset,
        "digest": file.rpartition("-")[2].partition(".")[0],
        "method": file.partition("_")[0],
        "run": file.rsplit("_", 2)[0],
    }
    for settings in (*shared, row):
        for key, value in settings.items():
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    merged["url"] = merged["url"].format(**merged)
    merged["protocol"] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in merged["protocol"].items()
    }
    names = {field.name for field in dataclasses.fields(Published)}
    return Published(**{key: value for key, value in merged.items() if key in names})
