"""Models from images to the dict of their four stages: dilated ResNets, Keras Applications."""

from keras_encnet.backbones.keras_applications import from_keras_applications
from keras_encnet.backbones.other_models import as_backbone
from keras_encnet.backbones.resnet import (
    ResNet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    preprocessing_of,
)

# Those that can be dilated, by the names that recipes use.
BACKBONES = {
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
    "resnet152": ResNet152,
}
# Those whose blocks have two 3x3 convolutions, instead of a bottleneck.
BASIC_BLOCKS = ("resnet18", "resnet34")

__all__ = [
    "BACKBONES",
    "BASIC_BLOCKS",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "as_backbone",
    "from_keras_applications",
    "preprocessing_of",
]
