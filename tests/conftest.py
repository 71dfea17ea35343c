"""What every test starts from: a fixed seed, the default dtype policy, no trace of other tests."""

import os

# TensorFlow reads it while it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from keras_encnet import backbones


@pytest.fixture(autouse=True)
def fresh_keras():
    # Without `free_memory`, which collects garbage at 0.1 s a test.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def tiny_backbone():
    """Builds the smallest backbone that the heads take: one convolution a stage, stride 8."""

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
    """Puts the smallest backbone in the place of the ResNets and records what they were asked."""
    calls = []
    for depth in (50, 101):

        def build(depth=depth, **arguments):
            calls.append({"depth": depth, **arguments})
            return tiny_backbone()

        monkeypatch.setattr(backbones, f"ResNet{depth}", build)
    return calls


@pytest.fixture
def randomize():
    """Gives every weight of a model a random value, moving statistics and biases included."""

    def assign(model, seed=0):
        draw = np.random.default_rng(seed)
        for weight in model.weights:
            if weight.path.endswith(("moving_variance", "gamma")):
                value = draw.uniform(0.5, 1.5, weight.shape)
            elif len(weight.shape) > 1:
                # Keeps activations about as large as their inputs.
                value = draw.normal(0.0, np.prod(weight.shape[:-1]) ** -0.5, weight.shape)
            else:
                value = draw.normal(0.0, 0.1, weight.shape)
            weight.assign(value)
        return model

    return assign
