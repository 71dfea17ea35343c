"""The networks: EncNet, its baselines, and the model classes they are."""

from keras_encnet.models.cifar import EncNet14, ResNet14, SEResNet14
from keras_encnet.models.classification_model import ClassificationModel
from keras_encnet.models.gates import context_encoding_gate, squeeze_excitation_gate
from keras_encnet.models.heads.encnet import EncNet
from keras_encnet.models.heads.fcn import FCN
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.models.structure import variant_parts

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
    "variant_parts",
]
