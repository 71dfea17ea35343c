"""The named networks, with published weights."""

from keras_encnet.applications.encnet import EncNet50, EncNet101
from keras_encnet.applications.fcn import FCN50, FCN101

__all__ = ["FCN50", "FCN101", "EncNet50", "EncNet101"]
