"""Exports of models for images with other numbers of channels, or other ranges, than RGB files."""

import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet import SegmentationModel
from keras_encnet.export import export_litert, export_onnx, export_saved_model
from keras_encnet.export.network import InferenceNetwork
from keras_encnet.layers import BilinearUpsampling, ImageNormalization
from tests.export.encoded import encode
from tests.export.exported import predict, signatures_of
from tests.export.test_portable import run_litert, run_onnx
from tests.fixtures import assert_same_classes, raw_images


def network(channels, mean=None, std=None):
    images = keras.Input((None, None, channels), name="images")
    x = ImageNormalization("torch", mean, std, name="image_normalization")(images)
    x = keras.layers.Conv2D(5, 3, 2, padding="same")(x)
    return SegmentationModel(images, {"segmentation": BilinearUpsampling()(x, images)})


def images_of(channels):
    return np.concatenate([raw_images(1, 19, 26, seed=i) for i in range(2)], -1)[..., :channels]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_tensors_have_the_channels_of_the_model(channels, tmp_path):
    model = network(channels)
    description = export_saved_model(model, tmp_path / "1")
    signatures, images = signatures_of(tmp_path / "1"), images_of(channels)
    logits = np.asarray(model(images)["segmentation"])
    for name, dtype in (("tensors", tf.float32), ("tensors_uint8", tf.uint8)):
        outputs = signatures[name](images=tf.constant(images, dtype))
        assert_same_classes(outputs["classes"], logits)
    assert ("serving_default" in signatures) == (channels == 1) == description["encoded_images"]
    card = (tmp_path / "1" / "model_card.md").read_text()
    assert ("There is no signature for encoded images" in card) == (channels > 1)
    assert f"`images` float32 `(batch, any, any, {channels})`" in card
    assert json.loads(json.dumps(description))["channels"] == channels


@pytest.mark.slow
def test_gray_models_take_gray_and_color_files(tmp_path):
    model = network(1)
    export_saved_model(model, tmp_path / "1", size=(19, 26))
    signatures, rgb = signatures_of(tmp_path / "1"), raw_images(1, 19, 26)[0]
    # The weights of Pillow's conversion to gray.
    luma = (rgb.astype("int64") @ (19595, 38470, 7471) + 2**15) // 2**16
    gray = images_of(1)[0]
    files = [encode(gray[..., 0], "PNG", "L"), encode(rgb, "PNG"), encode(gray[..., 0], "BMP")]
    masks = predict(signatures, *files)["mask_png_bytes"]
    for mask, image in zip(masks, (gray, luma[..., None], gray), strict=True):
        ids = np.asarray(Image.open(io.BytesIO(mask)))
        assert (ids == model.segment(image.astype("uint8"))).mean() > 0.99


def test_models_of_another_range_take_no_files():
    assert InferenceNetwork(network(3), freeze=False).takes_files
    assert InferenceNetwork(network(3, 110, 60), freeze=False).takes_files
    assert not InferenceNetwork(network(3, 3000, 900), freeze=False).takes_files
    assert not InferenceNetwork(network(3, 0.4, 0.2), freeze=False).takes_files


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 4])
def test_portable_formats_have_the_channels_of_the_model(channels, tmp_path):
    model, images = network(channels, 100, 50), images_of(channels).astype("float32")
    logits = np.asarray(model(images)["segmentation"])
    export_litert(model, tmp_path / "model.tflite")
    export_onnx(model, tmp_path / "model.onnx")
    for run, name in ((run_litert, "model.tflite"), (run_onnx, "model.onnx")):
        assert_same_classes(run(tmp_path / name, images)["classes"], logits)
