"""The head of DeepLabv3: dilated convolutions next to the average of the image."""

import keras
import numpy as np
import pytest

from keras_encnet import DeepLabV3
from tests.fixtures import normalized_image
from tests.models.heads.reference import conv_norm_relu


@pytest.mark.parametrize(
    ("variant", "dilation", "channels"),
    [("official", 12, 2), ("mmsegmentation", 12, 4), ("keras_encnet", 6, 2)],
)
def test_branches_are_convolutions_and_the_image_average(
    tiny_backbone, randomize, variant, dilation, channels
):
    backbone = tiny_backbone(widths=(4, 6, 8, 16))
    model = DeepLabV3(
        backbone, 3, variant=variant, aspp_dilation=dilation, include_preprocessing=False
    )
    randomize(model)
    inner = {name: model.get_layer(name).output for name in ("stage4_conv", "head_relu")}
    outputs = keras.Model(model.input, inner)(normalized_image(2, 120, 304))
    x = np.asarray(outputs["stage4_conv"], "float64")
    branches = [conv_norm_relu(model, x, "aspp_0")]
    branches += [conv_norm_relu(model, x, f"aspp_{i}", i * dilation) for i in (1, 2, 3)]
    average = conv_norm_relu(model, x.mean((1, 2), keepdims=True), "aspp_image")
    average = np.broadcast_to(average, branches[0].shape)
    if variant == "mmsegmentation":
        joined = np.concatenate([average, *branches], -1)
    else:
        joined = np.concatenate([*branches, average], -1)
        joined = conv_norm_relu(model, joined, "aspp_projection")
    assert branches[0].shape[-1] == channels
    expected = conv_norm_relu(model, joined, "head")
    np.testing.assert_allclose(outputs["head_relu"], expected, atol=1e-5)


def test_dropout_of_the_projection_follows_the_option(tiny_backbone):
    def dropouts(**options):
        model = DeepLabV3(tiny_backbone(), 3, **options)
        return {layer.name: layer.rate for layer in model.layers if "dropout" in layer.name}

    assert dropouts() == {"aspp_dropout": 0.5, "segmentation_dropout": 0.1}
    assert dropouts(dropout=0) == {}
    wide = dropouts(variant="mmsegmentation", auxiliary="none")
    assert wide == {"segmentation_dropout": 0.1}


@pytest.mark.parametrize(
    ("option", "value"), [("aspp", "wider"), ("aspp_dilation", 0), ("aspp_dilation", 1.5)]
)
def test_invalid_option_raises(tiny_backbone, option, value):
    with pytest.raises(ValueError, match=f"Received: {option}={value!r}"):
        DeepLabV3(tiny_backbone(), **{option: value})
