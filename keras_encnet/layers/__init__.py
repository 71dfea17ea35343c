"""Keras layers for EncNet."""

from keras_encnet.layers.adaptive_average_pooling import AdaptiveAveragePooling
from keras_encnet.layers.batch_normalization import BatchNormalization
from keras_encnet.layers.bilinear_upsampling import BilinearUpsampling
from keras_encnet.layers.dilated_conv2d import DilatedConv2D
from keras_encnet.layers.encoding import Encoding
from keras_encnet.layers.feature_map_attention import FeatureMapAttention
from keras_encnet.layers.image_normalization import ImageNormalization

__all__ = [
    "AdaptiveAveragePooling",
    "BatchNormalization",
    "BilinearUpsampling",
    "DilatedConv2D",
    "Encoding",
    "FeatureMapAttention",
    "ImageNormalization",
]
