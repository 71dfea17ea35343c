"""The networks: EncNet, its FCN baseline, and the model class they are."""

from keras_encnet.models.encnet import EncNet
from keras_encnet.models.encnet_resnet import EncNet50, EncNet101
from keras_encnet.models.fcn import FCN, FCN50, FCN101
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.models.variants import variant_parts

__all__ = [
    "FCN",
    "FCN50",
    "FCN101",
    "EncNet",
    "EncNet50",
    "EncNet101",
    "SegmentationModel",
    "variant_parts",
]
