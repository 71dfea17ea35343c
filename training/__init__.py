"""The scripts: training, evaluation and prediction, run from a clone of the repository."""

import os

# TensorFlow reads it while it is imported; what it says about its own build is nobody's concern.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_encnet  # noqa: F401, checks the backend before a command imports Keras
