"""Tiny models, and data for them."""

import keras
import pytest

from keras_encnet import FCN, EncNet, SegmentationModel, objectives
from keras_encnet.layers import BatchNormalization, ImageNormalization
from tests.fixtures import CLASSES

# XLA, the default of Keras on GPUs, drops the assertions of a step.
MODES = {"eager": {"run_eagerly": True}, "graph": {}, "XLA": {"jit_compile": True}}


@pytest.fixture
def data(rng):
    """Four raw images and their masks, a quarter of it ignored."""
    masks = rng.integers(0, CLASSES, (4, 8, 8)).astype("int32")
    masks[:, :4, :4] = 255
    return rng.integers(0, 256, (4, 8, 8, 3)).astype("uint8"), masks


@pytest.fixture
def fcn(tiny_backbone):
    """Builds and compiles the smallest model. Eager, since a step costs less than its graph."""

    def build(run_eagerly=True, **options):
        model = FCN(tiny_backbone(), classes=CLASSES, **options)
        model.compile("sgd", run_eagerly=run_eagerly, **objectives(model))
        return model

    return build


@pytest.fixture
def pixelwise():
    """Builds and compiles the least model for checks of data, which must not change any layer."""

    def build(mode="eager", preprocessing="torch", **options):
        images = x = keras.Input((None, None, 3), name="images")
        if preprocessing:
            x = ImageNormalization(preprocessing)(x)
        x = keras.layers.Conv2D(CLASSES, 1)(BatchNormalization()(x))
        model = SegmentationModel(images, {"segmentation": x})
        model.compile("sgd", **MODES[mode], **options, **objectives(model))
        return model

    return build


@pytest.fixture
def encnet(tiny_backbone):
    def build(**options):
        model = EncNet(
            tiny_backbone(), classes=CLASSES, num_codewords=4, channels=8, dropout=0, **options
        )
        model.compile("sgd", run_eagerly=True, **objectives(model))
        return model

    return build


@pytest.fixture
def tiny(tiny_backbone):
    """Builds EncNet on the smallest backbone."""

    def build(variant="keras_encnet", num_codewords=4, **options):
        options = {"classes": 5, "channels": 8, **options}
        return EncNet(tiny_backbone(), variant=variant, num_codewords=num_codewords, **options)

    return build
