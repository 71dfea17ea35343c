"""With bfloat16 feature maps, codes and logits stay in float32."""

import numpy as np
import pytest

from keras_encnet.export import fold_batch_normalization, with_precision
from tests.fixtures import NETWORKS


def float32_layers(model):
    return {layer.name for layer in model.layers if layer.compute_dtype == "float32"}


def test_codes_and_logits_stay_in_float32(randomize):
    model = with_precision(randomize(NETWORKS["paper"]()), "bfloat16")
    expected = {"context_encoding", "context_bn", "presence", "segmentation_logits"}
    assert expected | {"context_projection_conv"} <= float32_layers(model)
    assert {"head_conv", "conv1_conv", "context_attention"}.isdisjoint(float32_layers(model))


@pytest.mark.parametrize("name", ["official", "fcn", "psp", "deeplabv3", "encnet14", "se_resnet14"])
def test_bfloat16_outputs_are_close(name, randomize, rng):
    model = fold_batch_normalization(randomize(NETWORKS[name]()))
    x = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    outputs = with_precision(model, "bfloat16")(x, training=False)
    expected = model(x, training=False)
    if isinstance(expected, dict):
        outputs, expected = outputs["segmentation"], expected["segmentation"]
    outputs, expected = np.asarray(outputs), np.asarray(expected)
    assert outputs.dtype == np.float32
    error = np.abs(outputs - expected).max() / np.abs(expected).max()
    assert 0 < error < 0.05  # bfloat16 has 8 bits


def test_mixed_precision_model_becomes_float32(randomize, rng):
    model = with_precision(randomize(NETWORKS["fcn"]()), "bfloat16")
    back = with_precision(model, "float32")
    assert float32_layers(back) == {layer.name for layer in back.layers}


def test_unknown_precision_raises():
    with pytest.raises(ValueError, match="precision='int8'"):
        with_precision(NETWORKS["resnet14"](), "int8")
