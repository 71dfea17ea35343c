"""Builders with published weights give the network that the weights were converted from."""

import numpy as np
import pytest

import keras_encnet
from keras_encnet.applications import pretrained
from tests import procedural


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The official EncNet50 for ADE20K with random weights, converted, and its saved weights."""
    case, _ = procedural.golden("official_encnet50s_ade20k")
    model = keras_encnet.from_pytorch(procedural.weights(case["shapes"]))
    path = tmp_path_factory.mktemp("cache") / "converted.weights.h5"
    model.save_weights(path)
    return model, path


def test_name_of_weights_builds_the_converted_network(converted, monkeypatch):
    expected, path = converted
    monkeypatch.setattr(pretrained, "fetch", lambda entry: path)
    model = keras_encnet.EncNet50(weights="ade20k_official", outputs=("segmentation", "presence"))
    assert model.preprocessing == "torch"
    assert model.class_names[:3] == ("wall", "building", "sky")
    image = procedural.image("any", 65, 49)[None]
    first, second = model(image, training=False), expected(image, training=False)
    for name, tensor in first.items():
        np.testing.assert_allclose(tensor, second[name], rtol=1e-5, atol=1e-5)
