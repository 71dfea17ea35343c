"""Checkpoints with joint pyramid upsampling: FastFCN's own, and mmsegmentation's."""

import keras
import numpy as np
import pytest

import keras_encnet
from tests import procedural
from tests.pytorch import published

TINY = {**published.TINY, "jpu": 6}
OFFICIAL = published.official(head_kernel=1, **TINY)
MMSEGMENTATION = published.mmsegmentation(**TINY)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["fastfcn_encnet_jpu50_pcontext", "mmseg_fastfcn_enc_r50-d32_ade20k"]
)
def test_outputs_match_the_published_network(name):
    description, expected = procedural.golden(name)
    state = procedural.weights(description["shapes"])
    model = keras_encnet.from_pytorch(state, include_preprocessing=False)
    image = procedural.image(name, description["height"], description["width"])
    outputs = {key: np.asarray(x) for key, x in model(image[None]).items()}
    for key, found in {
        "logits_full_every_4th": outputs["segmentation"][:, ::4, ::4],
        "aux_full_every_4th": outputs["segmentation_stage3"][:, ::4, ::4],
        "se_logits": outputs["presence"],
    }.items():
        assert found.shape == expected[key].shape
        error = np.abs(found - expected[key]).max() / np.abs(expected[key]).max()
        assert error < 1e-5, key
    np.testing.assert_array_equal(outputs["segmentation"].argmax(-1), expected["classes_full"])


@pytest.mark.parametrize(
    ("shapes", "dilates"),
    [(OFFICIAL, False), (MMSEGMENTATION, True)],
    ids=["official", "mmsegmentation"],
)
def test_mmsegmentation_dilates_strided_stages_below_the_neck(shapes, dilates):
    model = keras_encnet.from_pytorch(published.empty(shapes))
    ends = [model.get_layer(f"conv{stage}_block1_out").output for stage in (3, 4, 5)]
    sizes = keras.Model(model.input, ends).compute_output_shape((1, 64, 96, 3))
    assert [shape[1:3] for shape in sizes] == [(8, 12), (4, 6), (2, 3)]
    # How a strided convolution is dilated.
    layers = {layer.name for layer in model.layers}
    assert ("conv5_block1_1_subsampling" in layers) == dilates


@pytest.mark.parametrize("shapes", [OFFICIAL, MMSEGMENTATION], ids=["official", "mmsegmentation"])
def test_every_tensor_of_the_neck_is_assigned(shapes):
    state = procedural.weights(shapes)
    model = keras_encnet.from_pytorch(state)
    necks = [name for name in shapes if name.startswith(("jpu.", "neck."))]
    layers = [x for x in model.layers if x.name.startswith("neck_")]
    assigned = np.concatenate([np.ravel(w) for layer in layers for w in layer.get_weights()])
    stored = np.concatenate([np.ravel(state[name]) for name in necks])
    np.testing.assert_array_equal(np.sort(assigned), np.sort(stored))


def test_missing_tensor_of_the_neck_is_named():
    state = published.empty(OFFICIAL)
    del state["jpu.dilation2.0.conv1.weight"]
    with pytest.raises(ValueError, match=r"Missing \(1\): jpu.dilation2.0.conv1.weight \(18, 1, 3"):
        keras_encnet.from_pytorch(state)


def test_output_stride_of_a_checkpoint_with_a_neck_is_32():
    keras_encnet.from_pytorch(published.empty(OFFICIAL), output_stride=32)
    with pytest.raises(ValueError, match="requires `output_stride=32`.*Received: output_stride=8"):
        keras_encnet.from_pytorch(published.empty(OFFICIAL), output_stride=8)


@pytest.mark.parametrize(
    ("shapes", "neck_follows"),
    [(OFFICIAL, True), (MMSEGMENTATION, False)],
    ids=["official", "mmsegmentation"],
)
def test_align_corners_applies_to_the_neck_of_the_official_code_only(shapes, neck_follows):
    for align_corners in (True, False):
        model = keras_encnet.from_pytorch(published.empty(shapes), align_corners=align_corners)
        assert model.get_layer("segmentation").align_corners == align_corners
        neck = model.get_layer("neck_stage3_upsampling").align_corners
        assert neck == (align_corners if neck_follows else False)
