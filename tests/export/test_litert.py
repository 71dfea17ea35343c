"""LiteRT files make the same predictions as the model."""

import numpy as np
import pytest

from keras_encnet.export import export_litert
from tests.fixtures import NETWORKS, assert_same_classes, raw_images

interpreter = pytest.importorskip("ai_edge_litert.interpreter")


def run(path, images):
    reader = interpreter.Interpreter(str(path))
    reader.resize_tensor_input(reader.get_input_details()[0]["index"], images.shape)
    kinds = {details["op_name"] for details in reader._get_ops_details()}
    assert not any(kind.startswith("Flex") for kind in kinds)
    return reader.get_signature_runner()(images=images.astype("float32"))


@pytest.mark.parametrize("name", ["paper", "official"])
def test_class_maps_and_presence_agree(name, randomize, tmp_path):
    model = randomize(NETWORKS[name]())
    export_litert(model, tmp_path / "model.tflite")
    images = raw_images(2, 37, 53)
    outputs = run(tmp_path / "model.tflite", images)
    expected = {k: np.asarray(v) for k, v in model(images, training=False).items()}
    assert_same_classes(outputs["classes"], expected["segmentation"])
    if "presence" in expected:
        presence = 1 / (1 + np.exp(-expected["presence"].astype("float64")))
        np.testing.assert_allclose(outputs["presence"], presence, atol=1e-4)


def test_classifier_probabilities_agree(randomize, tmp_path):
    model = randomize(NETWORKS["encnet14"]())
    export_litert(model, tmp_path / "model.tflite")
    images = raw_images(2, 32, 32)
    probabilities = run(tmp_path / "model.tflite", images)["probabilities"]
    np.testing.assert_allclose(probabilities, model.classify(images), atol=1e-5)
