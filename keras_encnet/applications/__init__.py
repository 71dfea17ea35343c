"""The named networks, with published weights."""

from keras_encnet.applications.networks import (
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
)

__all__ = [
    "FCN18",
    "FCN50",
    "FCN101",
    "DeepLabV3_18",
    "DeepLabV3_50",
    "DeepLabV3_101",
    "EncNet50",
    "EncNet101",
    "PSPNet18",
    "PSPNet50",
    "PSPNet101",
]
