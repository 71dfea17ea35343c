"""The description of an export: JSON for programs, and a model card in Markdown."""

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.models.segmentation_model import SegmentationModel

CARD = """# {name}

{task}, {classes} classes, {parameters:,} parameters. Exported to `{path}` with TensorFlow \
{tensorflow}, Keras {keras}.

## Origin of the weights

{origin}

## Scores

{scores}

## Structure

{structure}

## Input

- {images}. The normalization (`{preprocessing}`) is part of the graph.
- {encoded}
- `tensors` and `tensors_uint8` take {tensors}.
- At most {limits[images]} encoded images per request, of {limits[bytes]:,} bytes and
  {limits[pixels]:,} pixels each; at most {limits[scans]} scans per JPEG. At most
  {limits[tensor_pixels]:,} pixels in all images of a tensor. At most {limits[side]:,} pixels per
  side.

## Signatures

{signatures}

## Classes

{class_names}
"""


def describe(
    model: keras.Model, origin: str | None, scores: Mapping[str, Any] | None, **export: Any
) -> dict[str, Any]:
    """Returns a dict for JSON: the model, the origin of its weights, scores, and the export."""
    is_segmentation = isinstance(model, SegmentationModel)
    return {
        "name": model.name,
        "task": "segmentation" if is_segmentation else "classification",
        "classes": model.classes,
        "class_names": list(model.class_names),
        "preprocessing": model.preprocessing,
        "channels": model.channels,
        "mean": _rounded(model.expected_images.mean),
        "std": _rounded(model.expected_images.std),
        "parameters": model.count_params(),
        "layers": _layers(model),
        "outputs": sorted(model.output) if is_segmentation else ["probabilities"],
        "origin": origin,
        "scores": scores,
        **{k: dataclasses.asdict(v) if k == "limits" else v for k, v in export.items()},
        "versions": {p: importlib.metadata.version(p) for p in ("tensorflow", "keras")},
    }


def _rounded(values):
    return None if values is None else np.round(values, 4).tolist()


def model_card(
    description: Mapping[str, Any],
    functions: Mapping[str, tf.types.experimental.ConcreteFunction],
    path: Path,
) -> str:
    """Returns the model card as Markdown.

    Args:
        description: the dict from `describe`.
        functions: the signatures by name.
        path: path of the export, `<...>/<name>/<version>`.
    """
    return CARD.format(
        **{
            **description,
            **description["versions"],
            "task": description["task"].capitalize(),
            "path": f"{path.parent.name}/{path.name}",
            "origin": description["origin"] or "Not specified.",
            "scores": _fenced(description["scores"]) if description["scores"] else "Not specified.",
            "structure": _structure(description),
            "images": _images(description),
            "encoded": _encoded(description),
            "tensors": _taken(description),
            "signatures": "\n".join(_signature(*item) for item in functions.items()),
            "class_names": ", ".join(description["class_names"]),
        }
    )


def _images(description):
    channels, mean, std = (description[name] for name in ("channels", "mean", "std"))
    kind = {1: "Gray images", 3: "RGB images"}.get(channels, f"Images with {channels} channels")
    if mean is None:
        return f"{kind} with values in 0 to 255"
    return f"{kind} with the mean {mean} and the standard deviation {std}"


def _encoded(description):
    if not description["encoded_images"]:
        return (
            "There is no signature for encoded images, which are gray or RGB and have values in 0 "
            "to 255."
        )
    return (
        "`serving_default` takes encoded JPEG, PNG, GIF (first frame) or BMP images of any size, "
        f"which are\n  {_resized(description)}. The orientation in EXIF data is ignored."
    )


def _resized(description):
    size, working_size = description["size"], description["working_size"]
    if size is not None:
        return f"resized to {size[0]} x {size[1]} (height x width)"
    if working_size is None:
        return "not resized"
    if isinstance(working_size, int):
        bounds = f"a long side of {working_size}"
    else:
        bounds = "fit {} x {} (long x short side)".format(*working_size)
    return f"resized to {bounds}, with their aspect ratio"


def _taken(description):
    if description["fixed_size"]:
        return "images of {} x {} only".format(*description["size"])
    return "images of any size, which are not resized"


def _layers(model):
    """Returns the number of layers per type, largest first."""
    counts = {}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            kind = type(layer).__name__
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _structure(description):
    layers = ", ".join(f"{count} {kind}" for kind, count in description["layers"].items())
    steps = [
        "batch normalization folded" if description["folded"] else None,
        "variables frozen to constants" if description["frozen"] else None,
        f"feature maps in {description['precision']}",
    ]
    return f"Before export: {layers}. Exported with {', '.join(filter(None, steps))}."


def _signature(name, function):
    [spec] = function.structured_input_signature[0]
    outputs = function.structured_outputs
    lines = [f"- `{name}`: `{spec.name}` {spec.dtype.name} {_shape(spec)}, to"]
    lines += [f"  - `{key}` {x.dtype.name} {_shape(x)}" for key, x in sorted(outputs.items())]
    return "\n".join(lines)


def _shape(spec):
    sizes = ["any" if size is None else str(size) for size in spec.shape[1:]]
    return f"`({', '.join(['batch', *sizes])})`" if sizes else "`(batch,)`"


def _fenced(value):
    return f"```json\n{json.dumps(value, indent=2)}\n```"
