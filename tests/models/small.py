"""What the tests of models share."""

import numpy as np

CLASSES = 3
VARIANTS = ("keras_encnet", "paper", "official", "mmsegmentation")


def image(*shape):
    return np.random.default_rng(3).normal(size=(*shape, 3)).astype("float32")


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


def assert_unchanged(model, before):
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)
