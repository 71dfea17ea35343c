"""Architectures, without published weights, and the model classes that the builders return."""

from keras_encnet.models.cifar import EncNet14, ResNet14, SEResNet14
from keras_encnet.models.classification_model import ClassificationModel
from keras_encnet.models.gates import context_encoding_gate, squeeze_excitation_gate
from keras_encnet.models.networks import FCN, DeepLabV3, EncNet, PSPNet
from keras_encnet.models.segmentation_model import SegmentationModel

__all__ = [
    "FCN",
    "ClassificationModel",
    "DeepLabV3",
    "EncNet",
    "EncNet14",
    "PSPNet",
    "ResNet14",
    "SEResNet14",
    "SegmentationModel",
    "context_encoding_gate",
    "squeeze_excitation_gate",
]
