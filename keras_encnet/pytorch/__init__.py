"""Conversion of published PyTorch checkpoints to Keras models."""

from keras_encnet.pytorch.conversion import from_pytorch

__all__ = ["from_pytorch"]
