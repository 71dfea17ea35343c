"""Conversion of reference weights, and the comparison of outputs with the references."""

import functools

import numpy as np

import keras_encnet

# The images of the references are normalized.
converted = functools.partial(keras_encnet.from_pytorch, include_preprocessing=False)


def relative_error(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    return np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max()
