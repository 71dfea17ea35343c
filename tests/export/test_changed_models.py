"""Clones and models with LoRA are exported as they predict; quantized models are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_encnet
from keras_encnet.export.network import InferenceNetwork
from keras_encnet.graph.folding import fold_batch_normalization
from tests.fixtures import raw_images, small_encnet


def agree(network, model, images):
    for name, output in network(tf.constant(images, tf.float32)).items():
        if name == "segmentation":  # logits before upsampling
            inner = keras.Model(model.input, model.get_layer("segmentation_logits").output)
            expected = inner(images)
        else:
            expected = model(images)[name]
        np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("layers", [("segmentation_logits", "presence"), ("head_conv",)])
def test_lora_is_merged_into_exports(layers, randomize):
    model = randomize(small_encnet())
    plain = model(raw_images(1, 32, 40))["segmentation"]
    for name in layers:
        model.get_layer(name).enable_lora(2)
        weight = model.get_layer(name).lora_kernel_b
        weight.assign(np.random.default_rng(0).normal(0, 0.3, weight.shape))
    images = raw_images(1, 32, 40)
    assert not np.allclose(model(images)["segmentation"], plain, atol=1e-2)
    agree(InferenceNetwork(model), model, images)
    assert not [w.path for w in fold_batch_normalization(model).weights if "lora" in w.path]


def test_clones_are_exported_like_their_originals(randomize):
    model = randomize(small_encnet())
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    agree(InferenceNetwork(clone), model, raw_images(1, 32, 40))


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_quantized_models_are_refused_before_any_output(mode, tmp_path):
    model = small_encnet()
    model.quantize(mode)
    message = f"before `quantize`.*Received: .*'presence': '{mode}'"
    for export in ("saved_model", "litert", "onnx"):
        with pytest.raises(ValueError, match=message):
            getattr(keras_encnet, f"export_{export}")(model, tmp_path / "1", size=(32, 32))
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method")
def test_layers_of_unknown_quantization_are_not_copied():
    model = small_encnet()
    model.quantize("float8")
    with pytest.raises(ValueError, match="before `quantize`.*Received: layers=.*float8"):
        fold_batch_normalization(model)
