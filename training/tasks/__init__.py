"""Segmentation and classification: what differs between the two, scoring included.

`training.tasks.task` describes what a task provides.
"""

from collections.abc import Mapping
from typing import Any

import keras_encnet
from training.configs import ClassificationConfig, SegmentationConfig
from training.tasks.classification import Classification
from training.tasks.classification_scores import ClassificationScorer
from training.tasks.segmentation import Segmentation
from training.tasks.segmentation_scores import SegmentationScorer, SegmentationScoring
from training.tasks.task import Scorer, Task


def task_of(config: SegmentationConfig | ClassificationConfig) -> Task:
    """Returns the task of a recipe, its data opened and checked."""
    if isinstance(config, ClassificationConfig):
        return Classification(config)
    return Segmentation(config)


def scorer_of(
    model: keras_encnet.SegmentationModel | keras_encnet.ClassificationModel,
    data: str,
    split: str,
    options: SegmentationScoring,
    run: Mapping[str, Any],
) -> Scorer:
    """Returns the scorer of a model; arguments as of `SegmentationScorer`."""
    if isinstance(model, keras_encnet.ClassificationModel):
        return ClassificationScorer(model, data, split, options, run)
    return SegmentationScorer(model, data, split, options, run)
