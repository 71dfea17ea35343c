"""Every test starts from a fixed seed and the default dtype policy.

Fixtures import what they need: the controller of pytest-xdist reads this file, too, and starts
faster without TensorFlow.
"""

import gc
import os
import random

import numpy as np
import pytest

# Read by TensorFlow when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session", autouse=True)
def frozen_imports():
    """Exempts the objects of TensorFlow from garbage collection, which then takes milliseconds."""
    import keras_encnet.export  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def fresh_session():
    """Frees models after each module; otherwise a worker grows to several GiB.

    Not after each test, and tests set no seed of TensorFlow: both discard all compiled functions
    and kernels, which takes up to 0.4 s to make up for.
    """
    yield
    import keras

    keras.utils.clear_session()


@pytest.fixture(autouse=True)
def fresh_seed_and_policy():
    import keras

    # Keras derives the seeds of layers and initializers from that of Python.
    random.seed(0)
    np.random.seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def eager():
    """Runs functions without tracing them, which would take most of the time of a short run."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def tiny_backbone():
    """Builds the smallest backbone that heads accept: one convolution per stage, stride 8."""
    import keras

    def build(channels=3, widths=(4, 6, 8, 10), **unused):
        x = images = keras.Input((None, None, channels), name="images")
        stages = {}
        for i, (width, stride) in enumerate(zip(widths, (4, 2, 1, 1), strict=True), start=1):
            x = keras.layers.Conv2D(
                width, 3, stride, padding="same", activation="relu", name=f"stage{i}_conv"
            )(x)
            stages[f"stage{i}"] = x
        return keras.Model(images, stages, name="tiny")

    return build


@pytest.fixture
def recorded_backbone(monkeypatch, tiny_backbone):
    """Replaces the ResNets by the smallest backbone and records the arguments of each call."""
    from keras_encnet import backbones

    calls = []
    for depth in (18, 50, 101):

        def build(depth=depth, **arguments):
            calls.append({"depth": depth, **arguments})
            return tiny_backbone()

        monkeypatch.setattr(backbones, f"ResNet{depth}", build)
    return calls


@pytest.fixture(scope="session")
def randomize():
    """Assigns random values to all weights of a model, including moving statistics and biases."""

    def assign(model, seed=0):
        draw = np.random.default_rng(seed)
        for weight in model.weights:
            if weight.path.endswith(("moving_variance", "gamma")):
                value = draw.uniform(0.5, 1.5, weight.shape)
            elif len(weight.shape) > 1:
                # Keeps the scale of activations.
                value = draw.normal(0.0, np.prod(weight.shape[:-1]) ** -0.5, weight.shape)
            else:
                value = draw.normal(0.0, 0.1, weight.shape)
            weight.assign(value)
        return model

    return assign
