"""Errors for checkpoints that do not fit, and other numbers of classes."""

import warnings

import numpy as np
import pytest

import keras_encnet
from tests.pytorch import published


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("missing", "head.encmodule.encoding.3.codewords", None),
        ("missing", "pretrained.conv1.6.weight", None),
        ("missing", "pretrained.layer4.0.bn2.running_var", None),
        ("missing", "head.connect.1.1.bias", None),
        ("missing", "auxlayer.conv5.4.bias", None),
        ("missing", "head.encmodule.selayer.weight", None),
        ("unexpected", "head.extra.weight", (3, 4)),
        ("unexpected", "pretrained.layer1.0.conv1.bias", (64,)),
        ("unexpected", "epoch", ()),
        ("misshapen", "head.conv6.1.weight", (8, 5, 1, 1)),
        ("misshapen", "head.encmodule.encoding.3.codewords", (8, 4)),
        ("misshapen", "head.conv5.0.weight", (512, 8, 3, 3)),
        ("misshapen", "pretrained.conv1.0.weight", (3, 64, 3, 3)),
        ("misshapen", "pretrained.bn1.weight", (64,)),
    ],
)
def test_mismatched_tensor_is_named(tiny, kind, name, shape):
    expected = tuple(tiny[name].shape) if name in tiny else None
    if shape is None:
        del tiny[name]
    else:
        tiny[name] = np.zeros(shape, "float32")
    with pytest.raises(ValueError) as error:
        keras_encnet.from_pytorch(tiny)
    problem = {
        "missing": f"\nMissing (1): {name} {expected}\n",
        "unexpected": f"\nUnexpected (1): {name} {shape}\n",
        "misshapen": f"\nMisshapen (1): {name} {shape} instead of {expected}\n",
    }[kind]
    assert problem in str(error.value)
    assert str(error.value).count("(1)") == 1
    assert "the official code's EncNet" in str(error.value)


def test_mismatched_tensors_are_listed_up_to_a_limit(tiny):
    del tiny["head.conv5.0.weight"], tiny["head.fusion.1.bias"]
    tiny["head.conv6.1.weight"] = tiny["head.conv6.1.weight"][..., 0]
    tiny |= {f"more.{i}.weight": np.zeros(1) for i in range(30)}
    with pytest.raises(ValueError) as error:
        keras_encnet.from_pytorch(tiny)
    message = str(error.value)
    assert "Missing (2): " in message
    assert "head.conv5.0.weight (8, 512, 3, 3)" in message
    assert "head.fusion.1.bias (8,)" in message
    assert "Misshapen (1): head.conv6.1.weight (5, 8, 1) instead of (5, 8, 1, 1)" in message
    assert "Unexpected (30): more.0.weight (1,)" in message
    assert "more.19.weight (1,); ..." in message
    assert "more.20.weight" not in message


def test_another_number_of_classes_keeps_other_layers_and_warns(tiny):
    layers = "segmentation_logits", "presence", "segmentation_stage3_logits"
    full = keras_encnet.from_pytorch(tiny)
    with pytest.warns(UserWarning, match="has 5 classes, not 7") as caught:
        model = keras_encnet.from_pytorch(tiny, classes=7)
    assert caught[0].filename == __file__
    assert all(name in str(caught[0].message) for name in layers)
    assert model.classes == 7
    for layer in model.layers:
        old = full.get_layer(layer.name)
        for new_weight, old_weight in zip(layer.weights, old.weights, strict=True):
            if layer.name in layers:
                assert new_weight.shape[-1] == 7
                assert np.std(new_weight) > 0 or new_weight.path.endswith("bias")
            else:
                np.testing.assert_array_equal(new_weight, old_weight)


def test_same_number_of_classes_keeps_all_layers(tiny):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = keras_encnet.from_pytorch(tiny, classes=5)
    expected = tiny["head.conv6.1.weight"][:, :, 0, 0].T
    np.testing.assert_array_equal(
        model.get_layer("segmentation_logits").kernel.numpy()[0, 0], expected
    )


def test_layers_with_new_weights_are_checked_as_well(tiny):
    del tiny["head.conv6.1.bias"]
    with pytest.raises(ValueError, match=r"Missing \(1\): head.conv6.1.bias \(5,\)"):
        keras_encnet.from_pytorch(tiny, classes=7)


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        ({}, ValueError, "the official code's EncNet.*mmsegmentation.*torchvision"),
        ({"features.0.weight": np.zeros(3)}, ValueError, "Received: names .*features.0.weight"),
        ({3: np.zeros(3)}, ValueError, "must be text. Received: .3."),
        (None, TypeError, "Received: <class 'NoneType'>"),
        ([np.zeros(3)], TypeError, "Received: <class 'list'>"),
    ],
)
def test_unknown_checkpoint_raises(checkpoint, error, message):
    with pytest.raises(error, match=message):
        keras_encnet.from_pytorch(checkpoint)


def test_network_next_to_other_tensors_raises_with_their_names(tiny):
    state = {f"model.{name}": tensor for name, tensor in tiny.items()}
    with pytest.raises(ValueError, match=r"Unexpected \(1\): criterion.weight \(5,\)"):
        keras_encnet.from_pytorch({**state, "criterion.weight": np.ones(5)})


def test_network_that_is_contained_twice_raises(tiny):
    twice = {f"{prefix}{name}": tiny[name] for name in tiny for prefix in ("", "model.")}
    with pytest.raises(ValueError, match="Unexpected"):
        keras_encnet.from_pytorch(twice)
    compiled = {f"{prefix}{name}": tiny[name] for name in tiny for prefix in ("", "_orig_mod.")}
    with pytest.raises(ValueError, match="contains the network twice.*_orig_mod"):
        keras_encnet.from_pytorch(compiled)


@pytest.mark.parametrize(
    "option",
    [{"classes": 3}, {"align_corners": False}, {"stochastic_scale": True}],
    ids=lambda option: next(iter(option)),
)
def test_option_of_another_network_raises(option):
    shapes = published.resnet((1, 1, 1, 1), bottleneck=False)
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"torchvision.*Received: {name}={value}"):
        keras_encnet.from_pytorch(published.empty(shapes), **option)
