"""The recipes by name. The class of a recipe is the record of the experiment."""

# Importing a module registers its recipes.
from training.configs import (
    ade20k,
    cifar10,
    cityscapes,
    folder,
    msrc21,
    pascal_context,
    scenes,
    voc2012,
)
from training.configs.classification import ClassificationConfig
from training.configs.config import Config
from training.configs.registry import RECIPES
from training.configs.segmentation import SegmentationConfig

__all__ = [
    "RECIPES",
    "ClassificationConfig",
    "Config",
    "SegmentationConfig",
    "ade20k",
    "cifar10",
    "cityscapes",
    "folder",
    "msrc21",
    "pascal_context",
    "scenes",
    "voc2012",
]
