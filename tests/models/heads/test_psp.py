"""The head of PSPNet: averages over regions next to the features."""

import keras
import numpy as np
import pytest

from keras_encnet import PSPNet
from tests.fixtures import normalized_image
from tests.models.heads.reference import averages, conv_norm_relu, resize


@pytest.mark.parametrize("variant", ["keras_encnet", "official"])
@pytest.mark.parametrize("size", [(56, 104), (9, 71)], ids=str)
def test_features_are_joined_with_averages_over_regions(tiny_backbone, randomize, variant, size):
    model = randomize(PSPNet(tiny_backbone(), 3, variant=variant, include_preprocessing=False))
    inner = {name: model.get_layer(name).output for name in ("stage4_conv", "head_relu")}
    outputs = keras.Model(model.input, inner)(normalized_image(2, *size))
    x = np.asarray(outputs["stage4_conv"], "float64")
    aligned = variant == "official"
    pyramid = [
        resize(conv_norm_relu(model, averages(x, bins), f"pyramid_{bins}"), x.shape[1:3], aligned)
        for bins in (1, 2, 3, 6)
    ]
    joined = np.concatenate([x, *pyramid], -1)
    assert joined.shape[-1] == 10 + 4 * 2  # a quarter of the features each
    expected = conv_norm_relu(model, joined, "head")
    np.testing.assert_allclose(outputs["head_relu"], expected, atol=1e-5)
