"""The scripts: training, evaluation and prediction, run from a clone of the repository."""

import os

# TensorFlow reads it on import; the messages about its own build are of no interest.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_encnet  # noqa: F401, checks the backend before a command imports Keras
