"""Losses computed from logits and a mask of class ids."""

from keras_encnet.losses.class_weights import (
    balanced_class_weights,
    median_frequency_class_weights,
)
from keras_encnet.losses.dice_loss import DiceLoss
from keras_encnet.losses.focal_loss import FocalLoss
from keras_encnet.losses.lovasz_softmax_loss import LovaszSoftmaxLoss
from keras_encnet.losses.mask_loss import ImageLoss, MaskLoss, share_of_mean
from keras_encnet.losses.objectives import PIXEL_LOSSES, build_pixel_loss, objectives
from keras_encnet.losses.ohem_cross_entropy import OHEMCrossEntropy
from keras_encnet.losses.pixel_cross_entropy import PixelCrossEntropy
from keras_encnet.losses.se_loss import SELoss, class_presence
from keras_encnet.losses.sum import Sum

__all__ = [
    "PIXEL_LOSSES",
    "DiceLoss",
    "FocalLoss",
    "ImageLoss",
    "LovaszSoftmaxLoss",
    "MaskLoss",
    "OHEMCrossEntropy",
    "PixelCrossEntropy",
    "SELoss",
    "Sum",
    "balanced_class_weights",
    "build_pixel_loss",
    "class_presence",
    "median_frequency_class_weights",
    "objectives",
    "share_of_mean",
]
