"""Dilated ResNets: models from images to the dict of their four stages."""

from keras_encnet.backbones.resnet import (
    ResNet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    preprocessing_of,
)

# By the names that recipes use. A new backbone is a model from images to the dict of its stages.
BACKBONES = {
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
    "resnet152": ResNet152,
}

__all__ = [
    "BACKBONES",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "preprocessing_of",
]
