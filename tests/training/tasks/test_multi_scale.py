"""Tests of the options of multi-scale evaluation."""

import pytest

import keras_encnet
from training.tasks.multi_scale import MultiScaleOptions, settings_of


@pytest.mark.parametrize("option", [{"base_size": 520}, {"crop_size": 0}])
def test_multi_scale_options_without_multi_scale_raise(option):
    with pytest.raises(ValueError, match="without multi-scale evaluation. Received: "):
        MultiScaleOptions(**option)


@pytest.mark.parametrize(
    ("working_size", "options", "expected"),
    [
        (None, {}, (520, 480, "official")),
        (640, {}, (640, 592, "official")),
        (320, {"base_size": 104}, (104, 96, "official")),
        (320, {"crop_size": 200}, (320, 200, "official")),
        ((2048, 512), {}, (520, 480, "official")),
        ((2048, 512), {"protocol": "mmsegmentation"}, ((2048, 512), 480, "mmsegmentation")),
        (320, {"base_size": "native", "protocol": "mmsegmentation"}, ("native", 480, None)),
    ],
)
def test_sizes_default_to_the_working_size(working_size, options, expected, tiny_backbone):
    model = keras_encnet.FCN(tiny_backbone(), 3, working_size=working_size)
    settings = settings_of(MultiScaleOptions(multi_scale=True, **options).segmenter(model))
    base_size, crop_size, protocol = expected
    assert (settings["base_size"], settings["crop_size"]) == (base_size, crop_size)
    assert settings["protocol"] == (protocol or "mmsegmentation")


def test_options_configure_the_segmenter(tiny_backbone):
    model = keras_encnet.FCN(tiny_backbone(), 3)
    assert MultiScaleOptions().segmenter(model) is None
    segmenter = MultiScaleOptions(multi_scale=True, base_size=52, crop_size=48).segmenter(model)
    assert segmenter.model is model
