"""EncNet (Context Encoding for Semantic Segmentation) for Keras 3 and TensorFlow."""

from keras_encnet.utils.backend import check_backend

check_backend()  # before the first import of Keras

# ruff: isort: split
from keras_encnet import backbones, layers, losses, optimizers
from keras_encnet.applications import (
    FCN18,
    FCN50,
    FCN101,
    DeepLabV3_18,
    DeepLabV3_50,
    DeepLabV3_101,
    EncNet50,
    EncNet101,
    PSPNet18,
    PSPNet50,
    PSPNet101,
    pretrained,
)
from keras_encnet.export import export_litert, export_onnx, export_openvino, export_saved_model
from keras_encnet.inference import MultiScaleSegmenter, decode_predictions
from keras_encnet.losses import (
    DiceLoss,
    FocalLoss,
    LovaszSoftmaxLoss,
    OHEMCrossEntropy,
    PixelCrossEntropy,
    SELoss,
    objectives,
)
from keras_encnet.metrics import SegmentationMetrics
from keras_encnet.models import (
    FCN,
    ClassificationModel,
    DeepLabV3,
    EncNet,
    EncNet14,
    PSPNet,
    ResNet14,
    SegmentationModel,
    SEResNet14,
    context_encoding_gate,
    squeeze_excitation_gate,
)
from keras_encnet.preprocessing import preprocess_input
from keras_encnet.pytorch import from_pytorch

__version__ = "0.1.0"

__all__ = [
    "FCN",
    "FCN18",
    "FCN50",
    "FCN101",
    "ClassificationModel",
    "DeepLabV3",
    "DeepLabV3_18",
    "DeepLabV3_50",
    "DeepLabV3_101",
    "DiceLoss",
    "EncNet",
    "EncNet14",
    "EncNet50",
    "EncNet101",
    "FocalLoss",
    "LovaszSoftmaxLoss",
    "MultiScaleSegmenter",
    "OHEMCrossEntropy",
    "PSPNet",
    "PSPNet18",
    "PSPNet50",
    "PSPNet101",
    "PixelCrossEntropy",
    "ResNet14",
    "SELoss",
    "SEResNet14",
    "SegmentationMetrics",
    "SegmentationModel",
    "backbones",
    "context_encoding_gate",
    "decode_predictions",
    "export_litert",
    "export_onnx",
    "export_openvino",
    "export_saved_model",
    "from_pytorch",
    "layers",
    "losses",
    "objectives",
    "optimizers",
    "preprocess_input",
    "pretrained",
    "squeeze_excitation_gate",
]
