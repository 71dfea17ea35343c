"""Encoding layers with given weights, and the codes of the paper in NumPy."""

import numpy as np

from keras_encnet.layers import Encoding


def encode(x, codewords, scale):
    """Returns codes and assignment from all residuals, in float64."""
    pixels = np.asarray(x, "float64").reshape(len(x), -1, 1, x.shape[-1])
    residuals = pixels - codewords
    logits = scale * (residuals**2).sum(-1)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    assignment = weights / weights.sum(-1, keepdims=True)
    return (assignment[..., None] * residuals).sum(1), assignment


def encoding_of(codewords, scale, ndim=4, **kwargs):
    """Returns a layer with these weights."""
    layer = Encoding(len(codewords), **kwargs)
    layer.build((None,) * (ndim - 1) + (np.shape(codewords)[-1],))
    layer.codewords.assign(codewords)
    layer.scale.assign(scale)
    return layer


def parameters(rng, num_codewords, channels):
    return rng.normal(size=(num_codewords, channels)), rng.uniform(-1, 0, num_codewords)


def relative_error(actual, expected):
    return np.abs(np.asarray(actual, "float64") - expected).max() / np.abs(expected).max()
