"""The head of FCN: a 3x3 convolution and a classifier."""

import keras
import numpy as np
import pytest

from keras_encnet import FCN, SegmentationModel
from tests.fixtures import normalized_image


@pytest.mark.parametrize(
    ("auxiliary", "outputs"),
    [("none", {"segmentation"}), ("fcn", {"segmentation", "segmentation_stage3"})],
)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_logits_at_input_size(tiny_backbone, auxiliary, outputs, policy):
    keras.config.set_dtype_policy(policy)
    model = FCN(tiny_backbone(), classes=5, auxiliary=auxiliary)
    assert set(model.output) == outputs
    for size in ((1, 1), (17, 23)):
        for output in model(normalized_image(2, *size)).values():
            assert output.shape == (2, *size, 5)
            assert output.dtype == "float32"
            assert np.isfinite(output).all()


def test_head_has_a_quarter_of_the_channels(tiny_backbone):
    backbone = tiny_backbone(widths=(4, 4, 8, 20))
    model = FCN(backbone, classes=7, auxiliary="fcn")

    def head(channels):
        inner = channels // 4
        return 9 * channels * inner + 2 * inner + inner * 7 + 7

    parameters = sum(
        np.prod(weight.shape)
        for name in model.head_layers
        for weight in model.get_layer(name).trainable_weights
    )
    assert parameters == head(20) + head(8)


@pytest.mark.parametrize("align_corners", [False, True])
def test_align_corners_reaches_the_upsampling(tiny_backbone, align_corners):
    model = FCN(tiny_backbone(), align_corners=align_corners)
    assert model.get_layer("segmentation").align_corners == align_corners


def test_dropout_rate(tiny_backbone):
    assert FCN(tiny_backbone(), dropout=0.3).get_layer("segmentation_dropout").rate == 0.3
    without = FCN(tiny_backbone(), dropout=0)
    assert "segmentation_dropout" not in {layer.name for layer in without.layers}


@pytest.mark.parametrize(
    ("argument", "value"), [("auxiliary", "context"), ("classes", 1), ("classes", 2.5)]
)
def test_invalid_argument_raises(tiny_backbone, argument, value):
    with pytest.raises(ValueError, match=f"Received: {argument}={value!r}"):
        FCN(tiny_backbone(), **{argument: value})


def test_saved_model_gives_identical_outputs(tiny_backbone, randomize, tmp_path):
    model = randomize(FCN(tiny_backbone(), 5, auxiliary="fcn", align_corners=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is SegmentationModel
    x = normalized_image(2, 17, 23)
    for name, output in loaded(x).items():
        np.testing.assert_array_equal(output, model(x)[name])
