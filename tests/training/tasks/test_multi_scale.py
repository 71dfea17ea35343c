"""Tests of the options of multi-scale evaluation."""

import pytest

import keras_encnet
from training.tasks.multi_scale import MultiScaleOptions


@pytest.mark.parametrize("option", [{"base_size": 520}, {"crop_size": 0}])
def test_multi_scale_options_without_multi_scale_raise(option):
    with pytest.raises(ValueError, match="without multi-scale evaluation. Received: "):
        MultiScaleOptions(**option)


def test_settings_have_the_defaults_of_the_segmenter():
    assert MultiScaleOptions().settings() is None
    settings = MultiScaleOptions(multi_scale=True, crop_size=96).settings()
    assert settings == {"base_size": 520, "crop_size": 96, "protocol": "official"}


def test_options_configure_the_segmenter(tiny_backbone):
    model = keras_encnet.FCN(tiny_backbone(), 3)
    assert MultiScaleOptions().segmenter(model) is None
    segmenter = MultiScaleOptions(multi_scale=True, base_size=52, crop_size=48).segmenter(model)
    assert segmenter.model is model
