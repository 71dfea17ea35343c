"""The card of a trained model on the Hugging Face Hub: metadata, and a page in Markdown."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import yaml

import keras_encnet
from keras_encnet.utils.sizes import WorkingSize

# Scores of an evaluation by their names in tables; the first is the one in the metadata.
SCORES = {
    "mean_iou": "mean IoU",
    "accuracy": "accuracy",
    "pixel_accuracy": "pixel accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "mean_f1": "mean F1",
}
CARD = """---
{metadata}---

# {title}

{task}, {classes} classes, {parameters:,} parameters. A `{kind}` of keras_encnet, an
implementation of [Context Encoding](https://arxiv.org/abs/1803.08904) for Keras and TensorFlow.

## Load

```python
import keras
import keras_encnet  # registers the layers of the model; {version} or later

model = keras.saving.load_model("{path}")
{call}
```

{needs} Saved with Keras {keras_version}.

## Input

- Images with {channels} channels, uint8 or float in 0 to 255. {normalization}
- {size}

## Training data

{data}

## Scores

{scores}

## Classes

| id | name |
| --- | --- |
{names}

## Origin

{origin}

## License

{license}
"""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the card states that the model does not contain.

    Attributes:
        license: identifier of the license of the weights, such as `cc-by-4.0`.
        data: the training data, in Markdown.
        origin: the origin of the weights, in Markdown.
        scores: an evaluation as `training.evaluate` writes it, or None.
    """

    license: str
    data: str = "Not specified."
    origin: str = "Not specified."
    scores: Mapping[str, Any] | None = None


def hub_card(model: Any, repository: str | None, title: str, facts: Facts) -> str:
    """Returns the card of a model as Markdown that starts with metadata in YAML.

    Args:
        model: a `SegmentationModel` or a `ClassificationModel`.
        repository: such as `user/name`, or None for a folder that is not on the hub.
        title: the title of the page.
        facts: what the model does not contain.
    """
    is_segmentation = isinstance(model, keras_encnet.SegmentationModel)
    return CARD.format(
        metadata=yaml.safe_dump(_metadata(title, facts, is_segmentation), sort_keys=False),
        title=title,
        task="Semantic segmentation" if is_segmentation else "Image classification",
        kind=type(model).__name__,
        classes=model.classes,
        parameters=model.count_params(),
        version=keras_encnet.__version__,
        keras_version=keras.__version__,
        path=f"hf://{repository}" if repository else "FOLDER",
        call=(
            "class_ids = model.segment(image)  # (height, width), of an RGB image of any size"
            if is_segmentation
            else "probabilities = model.predict(images)  # (batch, classes)"
        ),
        needs=(
            "Requires `keras_encnet`, and `huggingface_hub` for the download."
            if repository
            else "`FOLDER` is the folder that contains this page. Requires `keras_encnet`."
        ),
        channels=model.input.shape[-1],
        normalization=_normalization(model.preprocessing),
        size=_size(getattr(model, "working_size", None), model.input.shape[1:3]),
        data=facts.data,
        scores=_scores(facts.scores),
        names="\n".join(f"| {i} | {_cell(name)} |" for i, name in enumerate(model.class_names)),
        origin=facts.origin,
        license=f"`{facts.license}`, for the weights in this repository.",
    )


def _metadata(title, facts, is_segmentation):
    task = "image-segmentation" if is_segmentation else "image-classification"
    metadata = {
        "library_name": "keras",
        "license": facts.license,
        "pipeline_tag": task,
        "tags": ["keras-encnet", "semantic-segmentation"] if is_segmentation else ["keras-encnet"],
    }
    metrics = _metrics(facts.scores)
    if metrics:
        dataset = str(facts.scores.get("data", "unknown"))
        result = {
            "task": {"type": task},
            "dataset": {
                "name": dataset,
                "type": dataset,
                "split": str(facts.scores.get("split", "unknown")),
            },
            "metrics": [
                {"type": name, "name": SCORES[name], "value": value}
                for name, value in metrics.items()
            ],
        }
        metadata["model-index"] = [{"name": title, "results": [result]}]
    return metadata


def _metrics(scores):
    """Returns the scores of an evaluation that are single numbers, by name."""
    return {name: float(scores[name]) for name in SCORES if scores and name in scores}


def _normalization(mode):
    how = "" if mode is None else f" (`{mode}`)"
    return f"The normalization{how} is a layer of the model: do not normalize images before."


def _size(working_size: WorkingSize, input_size: tuple[int | None, int | None]) -> str:
    if None not in input_size:
        return f"Images of {input_size[0]} x {input_size[1]} (height x width)."
    if working_size is None:
        return "Images of any size, which are not resized."
    bounds = (
        f"a long side of {working_size}"
        if isinstance(working_size, int)
        else f"fit {working_size[0]} x {working_size[1]} (long x short side)"
    )
    return (
        f"Working size: `segment` resizes images to {bounds}, with their aspect ratio; masks have "
        "the size of the image."
    )


def _scores(scores):
    """Returns a table of the scores, with the conditions under which they were measured."""
    metrics = _metrics(scores)
    if not metrics:
        return "Not evaluated."
    conditions = [
        f"data `{scores.get('data', 'unknown')}`, split `{scores.get('split', 'unknown')}`"
    ]
    if "images" in scores:
        conditions.append(f"{scores['images']} images")
    if "working_size" in scores:
        conditions.append(f"working size {scores['working_size']}")
    rows = [f"| {SCORES[name]} | {value:.4f} |" for name, value in metrics.items()]
    rows += [f"| IoU of {_cell(k)} | {_number(v)} |" for k, v in scores.get("iou", {}).items()]
    return "\n".join(
        [f"Measured with {', '.join(conditions)}.", "", "| score | value |", "| --- | --- |", *rows]
    )


def _number(value):
    return "not in the split" if value is None else f"{value:.4f}"


def _cell(text):
    """Returns text for a cell of a table."""
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
