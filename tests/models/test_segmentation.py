"""Assembled models: arguments, and what a saved model keeps."""

import itertools

import keras
import numpy as np
import pytest

from keras_encnet import FCN, EncNet, SegmentationModel
from keras_encnet.backbones import ResNet
from tests.fixtures import VARIANTS, normalized_image


@pytest.mark.parametrize(
    "options",
    [{"classes": classes} for classes in (1, 0, 2.5, True)]
    + [{"num_codewords": num_codewords} for num_codewords in (-1, 1.5, True)]
    + [{"variant": "torch"}, {"codeword_pooling": "max"}, {"gating": "relu"}, {"auxiliary": "aux"}],
)
def test_invalid_argument_raises(tiny, options):
    ((argument, value),) = options.items()
    with pytest.raises(ValueError, match=f"Received: {argument}={value!r}"):
        tiny(**options)


@pytest.mark.parametrize("build", [EncNet, FCN])
@pytest.mark.parametrize("stages", [None, ("stage4",), ("stage3",)])
def test_backbone_without_stages_raises(tiny_backbone, build, stages):
    backbone = tiny_backbone()
    outputs = {name: backbone.output[name] for name in stages} if stages else backbone.outputs[-1]
    with pytest.raises(ValueError, match="keys `stage1` to `stage4`.*Received: output="):
        build(keras.Model(backbone.input, outputs))


@pytest.mark.parametrize(
    ("variant", "options"),
    [*itertools.product(VARIANTS, [{}]), ("paper", {"num_codewords": 0, "lateral": True})],
)
def test_saved_model_gives_identical_outputs(tiny, randomize, tmp_path, variant, options):
    model = randomize(tiny(variant, **options))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is SegmentationModel
    assert loaded.name == model.name
    x = normalized_image(2, 17, 23)
    expected = model(x)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, expected[name])


def test_model_saved_under_mixed_precision_gives_identical_outputs(tiny, randomize, tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = randomize(tiny())
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = normalized_image(2, 17, 23)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, model(x)[name])


def test_laterals_of_other_sizes_raise_when_the_model_is_built():
    backbone = ResNet((1, 1, 1, 1), bottleneck=False, width_multiplier=0.25, output_stride=16)
    with pytest.raises(ValueError, match="output_stride=8"):
        EncNet(backbone, classes=3, channels=8, lateral=True)
