"""LiteRT and ONNX files make the same predictions as the model."""

import keras
import numpy as np
import pytest

from keras_encnet import SegmentationModel
from keras_encnet.export import export_litert, export_onnx
from keras_encnet.layers import ImageNormalization
from tests.export.runtimes import run_litert, run_onnx
from tests.fixtures import NETWORKS, assert_same_classes, raw_images

FORMATS = pytest.mark.parametrize(
    ("export", "run"),
    [
        pytest.param(export_litert, run_litert, id="LiteRT"),
        pytest.param(export_onnx, run_onnx, id="ONNX"),
    ],
)


@FORMATS
@pytest.mark.parametrize(
    "name",
    [
        "jpu",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("official", "psp", "paper", "deeplabv3")
        ),
    ],
)
def test_outputs_agree_at_any_size(export, run, name, randomize, tmp_path):
    model = randomize(NETWORKS[name]())
    export(model, tmp_path / "model")
    for size in ((2, 37, 53), (1, 64, 64)):
        images = raw_images(*size)
        outputs = run(tmp_path / "model", images)
        expected = {k: np.asarray(v) for k, v in model(images, training=False).items()}
        assert_same_classes(outputs["classes"], expected["segmentation"])
        assert ("presence" in outputs) == ("presence" in expected)
        if "presence" in expected:
            presence = 1 / (1 + np.exp(-expected["presence"].astype("float64")))
            np.testing.assert_allclose(outputs["presence"], presence, atol=1e-4)


def test_dilated_depthwise_convolutions_are_single_operations_in_onnx(tmp_path):
    import onnx

    export_onnx(NETWORKS["jpu"](), tmp_path / "model")
    nodes = onnx.load(tmp_path / "model").graph.node
    assert not {node.op_type for node in nodes} & {"SpaceToDepth", "DepthToSpace"}
    attributes = [{a.name: onnx.helper.get_attribute_value(a) for a in x.attribute} for x in nodes]
    dilations = [a["dilations"][0] for a in attributes if a.get("group", 1) > 1]
    assert sorted(dilations) == [1, 2, 4, 8]


@pytest.mark.slow
@FORMATS
def test_classifier_probabilities_agree(export, run, randomize, tmp_path):
    model = randomize(NETWORKS["encnet14"]())
    export(model, tmp_path / "model")
    images = raw_images(2, 32, 32)
    probabilities = run(tmp_path / "model", images)["probabilities"]
    np.testing.assert_allclose(probabilities, model.classify(images), atol=1e-5)


def gelu_network():
    images = keras.Input((None, None, 3), name="images")
    x = ImageNormalization("tf")(images)
    x = keras.layers.Activation("gelu")(keras.layers.Conv2D(8, 3, padding="same")(x))
    logits = keras.layers.Dense(3)(keras.layers.Dense(8, activation="gelu")(x))
    return SegmentationModel(images, {"segmentation": logits})


@FORMATS
def test_gelu_is_converted(export, run, tmp_path):
    model, images = gelu_network(), raw_images(1, 24, 40)
    export(model, tmp_path / "model", probabilities=True)
    expected = keras.ops.softmax(model(images)["segmentation"])
    probabilities = run(tmp_path / "model", images)["probabilities"]
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_failed_export_keeps_the_existing_file(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_text("old")
    monkeypatch.setattr("onnx.save", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_onnx(NETWORKS["resnet14"](), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "old"
