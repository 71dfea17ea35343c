"""Converted FCN, PSPNet and DeepLabv3 compute what the published networks compute."""

import keras
import numpy as np
import pytest

import keras_encnet
from tests import procedural
from tests.pytorch import published_heads
from tests.pytorch.published import empty
from tests.pytorch.published_heads import MMSEGMENTATION_HEADS, OFFICIAL_HEADS

REFERENCES = {
    "mmseg_fcn_r50-d8_ade20k": "fcn50",
    "mmseg_pspnet_r50-d8_ade20k": "pspnet50",
    "mmseg_deeplabv3_r50-d8_ade20k": "deeplabv3_50",
    "official_psp50_ade20k": "pspnet50",
    "official_deeplab50_ade20k": "deeplabv3_50",
}


def relative_error(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    return np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_outputs_match_the_published_network(name):
    description, expected = procedural.golden(name)
    model = keras_encnet.from_pytorch(
        procedural.weights(description["shapes"]), include_preprocessing=False
    )
    image = procedural.image(name, description["height"], description["width"])
    outputs = {key: np.asarray(x) for key, x in model(image[None]).items()}
    for key, reference in (("segmentation", "logits"), ("segmentation_stage3", "aux")):
        found = outputs[key][:, ::8, ::8]
        assert relative_error(found, expected[f"{reference}_full_every_8th"]) < 1e-5
    np.testing.assert_array_equal(outputs["segmentation"].argmax(-1), expected["classes_full"])
    assert model.name == REFERENCES[name]
    aligned = model.get_layer("segmentation").align_corners
    assert aligned == name.startswith("official")


SOURCES = [("official", head) for head in OFFICIAL_HEADS]
SOURCES += [("mmsegmentation", head) for head in MMSEGMENTATION_HEADS]


@pytest.mark.parametrize(("source", "head"), SOURCES)
@pytest.mark.parametrize(
    "options",
    [
        {"classes": 7, "bottleneck": False},
        {"classes": 3, "auxiliary": False, "bottleneck": False, "stem_kind": "plain", "neck": 16},
    ],
    ids=["auxiliary", "plain stem and neck"],
)
def test_every_tensor_is_one_weight_of_the_model(source, head, options):
    shapes = getattr(published_heads, source)(head, blocks=(1, 1, 1, 1), **options)
    model = keras_encnet.from_pytorch(empty(shapes))
    assert model.name == f"{head}10"
    assert model.classes == options["classes"]
    assert ("segmentation_stage3" in model.output) == options.get("auxiliary", True)
    assert model.count_params() == sum(int(np.prod(shape)) for shape in shapes.values())


@pytest.mark.parametrize(("source", "head"), SOURCES)
def test_missing_or_foreign_tensor_is_named(source, head):
    build = getattr(published_heads, source)
    tensors = empty(build(head, 5, bottleneck=False, blocks=(1, 1, 1, 1)))
    owned = [name for name in tensors if name.startswith(("head.", "decode_head."))]
    del tensors[owned[0]]
    tensors["decode_head.fpn_convs.0.conv.weight"] = np.zeros((8, 8, 3, 3), "float32")
    with pytest.raises(ValueError) as error:
        keras_encnet.from_pytorch(tensors)
    assert f"Missing (1): {owned[0]}" in str(error.value)
    assert "Unexpected (1): decode_head.fpn_convs.0.conv.weight" in str(error.value)


@pytest.mark.parametrize(("source", "head"), SOURCES[1::3])
def test_another_number_of_classes_keeps_all_other_weights(source, head):
    build = getattr(published_heads, source)
    state = procedural.weights(build(head, 5, bottleneck=False, blocks=(1, 1, 1, 1)))
    expected = "segmentation_logits, segmentation_stage3_logits"
    with pytest.warns(UserWarning, match=f"has 5 classes, not 3.*{expected}$"):
        model = keras_encnet.from_pytorch(state, classes=3)
    published_model = keras_encnet.from_pytorch(state)
    for layer in model.layers:
        if layer.name not in expected.split(", "):
            other = published_model.get_layer(layer.name)
            for one, two in zip(layer.get_weights(), other.get_weights(), strict=True):
                np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("head", OFFICIAL_HEADS)
@pytest.mark.parametrize(("align_corners", "neck"), [(None, None), (False, None), (None, 24)])
def test_official_head_computes_the_same_as_pytorch(head, align_corners, neck):
    pytest.importorskip("torch")
    from tests.pytorch.reference import Reference

    state = procedural.weights(published_heads.official(head, 6, blocks=(1, 1, 1, 1), neck=neck))
    image = procedural.image(head, 41, 150)
    model = keras_encnet.from_pytorch(
        state, align_corners=align_corners, include_preprocessing=False
    )
    aligned = align_corners is not False
    expected = Reference(state, image, prefix="pretrained.").other_head(head, aligned)
    names = ("segmentation", "segmentation_stage3")
    inner = [model.get_layer(f"{name}_logits").output for name in names]
    for found, reference in zip(
        keras.Model(model.input, inner)(image[None]), expected, strict=True
    ):
        assert relative_error(found, reference) < 1e-5
    assert {model.get_layer(name).align_corners for name in names} == {aligned}
