"""Arguments of the named networks; invalid ones raise before anything is downloaded."""

import numpy as np
import pytest

from keras_encnet import FCN, FCN50, DeepLabV3_50, EncNet, EncNet50, PSPNet50
from tests.fixtures import normalized_image


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    monkeypatch.setattr("keras.utils.get_file", lambda *args, **kwargs: pytest.fail("a download"))


@pytest.mark.parametrize("build", [EncNet50, FCN50, PSPNet50, DeepLabV3_50])
@pytest.mark.parametrize("option", ["backbone", "output_strides", "droput", "weigths"])
def test_unknown_option_raises_with_the_valid_ones(build, option):
    with pytest.raises(TypeError, match="Unknown options: ") as error:
        build(**{option: 8})
    unknown, valid = str(error.value).split(" Valid options: ")
    assert unknown == f"Unknown options: {option}."
    assert {"output_stride", "dropout", "weights"} <= set(valid.strip(".").split(", "))
    assert "backbone," not in valid


@pytest.mark.parametrize(
    ("build", "invalid"),
    [
        (EncNet50, {"gating": "scal"}),
        (EncNet50, {"codeword_pooling": "max"}),
        (EncNet50, {"auxiliary": "ffcn"}),
        (EncNet50, {"variant": "papr"}),
        (EncNet50, {"classes": 1}),
        (FCN50, {"auxiliary": "context"}),
        (FCN50, {"variant": "papr"}),
        (FCN50, {"classes": 1}),
        (PSPNet50, {"classes": 2.5}),
        (DeepLabV3_50, {"aspp": "narrow"}),
    ],
)
def test_invalid_value_raises(build, invalid):
    ((name, value),) = invalid.items()
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}={value!r}"):
        build(**invalid)


@pytest.mark.parametrize("build", [EncNet50, FCN50, PSPNet50, DeepLabV3_50])
def test_unknown_weights_raise(build):
    with pytest.raises(ValueError, match="`weights` must be None .*Received: weights='ade20k'"):
        build(weights="ade20k")


@pytest.mark.parametrize(
    ("build", "generic", "options"),
    [(EncNet50, EncNet, {"num_codewords": 4, "channels": 8}), (FCN50, FCN, {"auxiliary": "fcn"})],
)
def test_backbone_weights_are_not_loaded_if_weights_are_given(
    recorded_backbone, tiny_backbone, randomize, tmp_path, build, generic, options
):
    full = randomize(generic(tiny_backbone(), 5, preprocessing="caffe", **options))
    full.save_weights(tmp_path / "full.weights.h5")
    model = build(5, weights=str(tmp_path / "full.weights.h5"), **options)
    assert recorded_backbone[0]["weights"] is None
    x = normalized_image(1, 9, 9)
    for name, output in model(x).items():
        np.testing.assert_array_equal(output, full(x)[name])
