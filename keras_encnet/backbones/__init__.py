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

__all__ = [
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "preprocessing_of",
]
