"""Checks of arguments name what is wrong, whatever it is."""

import numpy as np
import pytest

from keras_encnet import FCN50, EncNet50, MultiScaleSegmenter
from keras_encnet.utils.checks import is_count


@pytest.mark.parametrize("value", [1, 2, np.int64(3), np.uint8(4)])
def test_integers_are_counts(value):
    assert is_count(value, least=1)


@pytest.mark.parametrize(
    "value", [0, -1, 1.5, 2.0, np.float32(4), True, None, "3", (4, 4), np.nan, np.inf]
)
def test_nothing_else_is(value):
    assert not is_count(value, least=1)


def test_none_classes_and_a_pair_of_crop_sizes_are_named():
    with pytest.raises(ValueError, match="classes=None"):
        FCN50(classes=None, backbone_weights=None)
    with pytest.raises(ValueError, match=r"crop_size=\(480, 480\)"):
        MultiScaleSegmenter(None, crop_size=(480, 480))


@pytest.mark.parametrize("build", [EncNet50, FCN50])
@pytest.mark.parametrize("option", ["backbone", "output_strides", "build_backbone"])
def test_options_that_there_are_not_are_named_among_those_that_there_are(build, option):
    with pytest.raises(TypeError, match="Unknown options: ") as refused:
        build(backbone_weights=None, **{option: 8})
    unknown, valid = str(refused.value).split(" Valid options: ")
    assert unknown == f"Unknown options: {option}."
    assert "output_stride" in valid
    assert "backbone" not in valid


@pytest.mark.parametrize(
    ("build", "wrong"),
    [
        (EncNet50, {"gating": "scal"}),
        (EncNet50, {"codeword_pooling": "max"}),
        (EncNet50, {"auxiliary": "ffcn"}),
        (EncNet50, {"variant": "papr"}),
        (FCN50, {"auxiliary": "context"}),
    ],
)
def test_wrong_choices_are_named_before_anything_is_downloaded(build, wrong, monkeypatch):
    monkeypatch.setattr("keras.utils.get_file", lambda *args, **kwargs: pytest.fail("a download"))
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}={value!r}"):
        build(**wrong)
