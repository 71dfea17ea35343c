"""Builders with published weights give the network that the weights were converted from."""

import numpy as np
import pytest

import keras_encnet
from keras_encnet.applications import pretrained
from tests import procedural


@pytest.mark.parametrize(
    ("reference", "build", "weights", "outputs"),
    [
        (
            "official_encnet50s_ade20k",
            keras_encnet.EncNet50,
            "ade20k_official",
            ("segmentation", "presence"),
        ),
        pytest.param(
            "mmseg_pspnet_r50-d8_ade20k",
            keras_encnet.PSPNet50,
            "ade20k_mmsegmentation_512x512_80k",
            "segmentation",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "official_deeplab50_ade20k",
            keras_encnet.DeepLabV3_50,
            "ade20k_official",
            None,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_name_of_weights_builds_the_converted_network(
    reference, build, weights, outputs, tmp_path, monkeypatch
):
    case, _ = procedural.golden(reference)
    expected = keras_encnet.from_pytorch(procedural.weights(case["shapes"]))
    path = tmp_path / "converted.weights.h5"
    expected.save_weights(path)
    monkeypatch.setattr(pretrained, "fetch", lambda entry: path)
    model = build(weights=weights, outputs=outputs)
    assert model.preprocessing == "torch"
    assert model.class_names[:3] == ("wall", "building", "sky")
    image = procedural.image("any", 65, 49)[None]
    first, second = model(image, training=False), expected(image, training=False)
    for name, tensor in first.items():
        np.testing.assert_allclose(tensor, second[name], rtol=1e-5, atol=1e-5)
