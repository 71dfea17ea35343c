"""Architectures, without published weights, and the model classes that the builders return."""

from keras_encnet.models.cifar import EncNet14, ResNet14, SEResNet14
from keras_encnet.models.classification_model import ClassificationModel
from keras_encnet.models.gates import context_encoding_gate, squeeze_excitation_gate
from keras_encnet.models.segmentation import FCN, EncNet
from keras_encnet.models.segmentation_model import SegmentationModel

__all__ = [
    "FCN",
    "ClassificationModel",
    "EncNet",
    "EncNet14",
    "ResNet14",
    "SEResNet14",
    "SegmentationModel",
    "context_encoding_gate",
    "squeeze_excitation_gate",
]
