"""The forms in which frameworks save tensors are understood."""

import sys

import numpy as np
import pytest

import keras_encnet
from tests import procedural
from tests.pytorch import published


def test_wrappers_prefixes_and_counters_are_removed(tiny):
    expected = keras_encnet.from_pytorch(tiny).get_weights()
    odd = {f"module.{name}": tensor for name, tensor in tiny.items()}
    odd["module.pretrained.bn1.num_batches_tracked"] = np.int64(7)
    odd |= {"module.pretrained.fc.weight": np.ones((1000, 512)), "module.pretrained.fc.bias": 0}
    model = keras_encnet.from_pytorch({"epoch": 3, "state_dict": odd, "best_pred": 0.4})
    for weights, expected_weights in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weights, expected_weights)


# The keys and names of Lightning and other frameworks.
WRAPPED = [
    ("state_dict", "model.{}"),
    ("state_dict", "segmentor.{}"),
    ("model_state_dict", "_orig_mod.{}"),
    ("model", "module._orig_mod.{}"),
    ("model_state", "model._orig_mod.{}"),
    ("state_dict", "_orig_mod.module.{}"),
]


def check_wrapped(state, expected, key, rename):
    renamed = {rename.format(name): tensor for name, tensor in state.items()}
    model = keras_encnet.from_pytorch({"epoch": 3, key: renamed})
    for weights, expected_weights in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weights, expected_weights)


@pytest.fixture(scope="module")
def cifar():
    """The tensors of a CIFAR network, whose names start with `model.`, and its Keras weights."""
    state = procedural.weights(published.cifar(4, 3))
    return state, keras_encnet.from_pytorch(state).get_weights()


@pytest.mark.parametrize(("key", "rename"), WRAPPED)
def test_prefixes_of_frameworks_are_removed(key, rename, cifar):
    check_wrapped(*cifar, key, rename)


@pytest.mark.parametrize(("key", "rename"), [WRAPPED[1], WRAPPED[4]])
def test_prefixes_of_frameworks_are_removed_from_segmentation_networks(key, rename, tiny):
    check_wrapped(tiny, keras_encnet.from_pytorch(tiny).get_weights(), key, rename)


def test_averaged_model_is_read(tiny):
    averaged = {f"module.{name}": tensor for name, tensor in tiny.items()}
    averaged["n_averaged"] = np.int64(3)
    assert keras_encnet.from_pytorch(averaged).classes == 5


def test_mapping_requires_no_torch_and_is_not_changed(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    before = dict(tiny)
    keras_encnet.from_pytorch(tiny)
    assert tiny == before


def test_bfloat16_tensors_are_accepted():
    torch = pytest.importorskip("torch")
    shapes = published.resnet((1, 1, 1, 1), bottleneck=False)
    state = {name: torch.ones(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    state = {name: torch.nn.Parameter(tensor) for name, tensor in state.items()}
    model = keras_encnet.from_pytorch(state)
    assert all(weight.dtype == "float32" and np.all(weight == 1) for weight in model.weights)


def test_plain_stem_of_old_releases_warns():
    shapes = published.official(stem_kind="plain", **published.TINY)
    shapes |= {"pretrained.fc.weight": (1000, 512), "pretrained.fc.bias": (1000,)}
    with pytest.warns(UserWarning, match="before September 2018.*softmax over pixels") as caught:
        model = keras_encnet.from_pytorch(published.empty(shapes))
    assert caught[0].filename == __file__
    assert model.get_layer("conv1_conv").kernel.shape == (7, 7, 3, 64)
