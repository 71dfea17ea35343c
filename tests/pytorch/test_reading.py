"""Checkpoint files of every published form are read without running code in them."""

import argparse
import os
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import keras_encnet
from keras_encnet.pytorch.reading import read_tensors, to_numpy
from tests import procedural
from tests.pytorch import published

torch = pytest.importorskip("torch")

OLD, NEW = False, True


@pytest.fixture
def tensors():
    draw = np.random.default_rng(2)
    shapes = {"a.weight": (5, 4, 3, 3), "a.bias": (5,)}
    return {name: draw.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def save(path, tensors, serialization=NEW, wrap=lambda state: state):
    state = {name: torch.from_numpy(array) for name, array in tensors.items()}
    torch.save(wrap(state), path, _use_new_zipfile_serialization=serialization)
    return path


def assert_holds(path, tensors):
    found = read_tensors(path)
    assert list(found) == list(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(to_numpy(found[name]), array)


@pytest.mark.parametrize("serialization", [OLD, NEW])
@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".zip"])
def test_both_serializations_are_read_with_every_suffix(tmp_path, tensors, serialization, suffix):
    path = save(tmp_path / f"model{suffix}", tensors, serialization)
    assert_holds(path, tensors)
    assert_holds(str(path), tensors)


@pytest.mark.parametrize("serialization", [OLD, NEW])
@pytest.mark.parametrize(
    "score",
    [np.float64(0.41), np.float32(0.41), np.int64(3), np.bool_(True), 0.41, torch.tensor(0.41)],
    ids=lambda score: type(score).__name__,
)
def test_other_contents_of_training_checkpoints_are_ignored(
    tmp_path, tensors, serialization, score
):
    def wrap(state):
        state = {f"module.{name}": tensor for name, tensor in state.items()}
        optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 1}]}
        return {"epoch": 3, "state_dict": state, "optimizer": optimizer, "best_pred": score}

    assert_holds(save(tmp_path / "model.pth.tar", tensors, serialization, wrap), tensors)


def test_scalars_written_by_numpy_1_are_read(tmp_path, tensors):
    path = save(
        tmp_path / "model.pth",
        tensors,
        OLD,
        lambda s: {"state_dict": s, "best_pred": np.float64(1)},
    )
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert_holds(path, tensors)


@pytest.mark.parametrize("serialization", [OLD, NEW])
@pytest.mark.parametrize("member", ["folder/model.pth", "../../model.pth.tar", "/model.pth"])
def test_archive_of_one_checkpoint_is_read_without_leftovers(
    tmp_path, tensors, serialization, member, monkeypatch
):
    scratch = tmp_path / "a" / "b" / "scratch"
    scratch.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    inner = save(tmp_path / "inner", tensors, serialization)
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, member)
        archive.writestr("README.txt", "weights")
        archive.writestr("__MACOSX/._model.pth", "resources")
    assert_holds(path, tensors)
    assert not list(scratch.iterdir())
    assert not Path("/model.pth").exists()
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "a",
        "b",
        "inner",
        "model.zip",
        "scratch",
    ]


@pytest.mark.parametrize("members", [[], ["a.pth", "b.pth"], ["a.txt"]])
def test_archive_without_exactly_one_checkpoint_raises(tmp_path, members):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    with pytest.raises(ValueError, match=r"not an archive of exactly one checkpoint.*model\.zip"):
        read_tensors(path)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("serialization", [OLD, NEW])
def test_malicious_file_raises_and_is_not_run(tmp_path, tensors, serialization):
    def wrap(state):
        return {"state_dict": state, "best_pred": Malicious(tmp_path / "run")}

    path = save(tmp_path / "malicious.pth", tensors, serialization, wrap)
    with pytest.raises(ValueError, match=r"harmful and was not run: \w+\.mkdir.*malicious\.pth"):
        keras_encnet.from_pytorch(path)
    assert not (tmp_path / "run").exists()
    with zipfile.ZipFile(tmp_path / "malicious.zip", "w") as archive:
        archive.write(path, "malicious.pth")
    with pytest.raises(ValueError, match=r"not run.*malicious\.zip"):
        keras_encnet.from_pytorch(tmp_path / "malicious.zip")
    assert not (tmp_path / "run").exists()


class HistoryBuffer:
    """Like that of MMEngine, with its methods as values."""

    made = 0

    def __init__(self):
        type(self).made += 1
        self.log = np.arange(3.0)
        self.methods = {"mean": HistoryBuffer.mean}

    def __setstate__(self, state):
        type(self).made += 1

    def mean(self):
        return self.log.mean()


class Settings(dict):
    pass


@pytest.mark.parametrize("serialization", [OLD, NEW])
def test_objects_of_frameworks_next_to_the_weights_are_ignored(tmp_path, tensors, serialization):
    before = set(torch.serialization.get_safe_globals())
    others = {
        "message_hub": {"log_scalars": {"train/loss": HistoryBuffer()}},
        "meta": {"options": argparse.Namespace(lr=0.1), "path": Path("a")},
        "arrays": [np.ones(3), np.arange(3, dtype="uint8")],
        "loss": torch.nn.functional.relu,
    }

    def wrap(state):
        return {**others, "state_dict": state}

    path = save(tmp_path / "iter_160000.pth", tensors, serialization, wrap)
    made = HistoryBuffer.made
    assert_holds(path, tensors)
    assert HistoryBuffer.made == made
    # The allowed globals are restored.
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Settings(a=1), r"was not run: .*Settings\. .*save the weights only"),
        (shutil.rmtree, r"was not run: shutil\.rmtree\."),
        (eval, r"was not run: eval\."),
        (torch.nn.Linear(1, 1), r"contains a torch.nn.modules.linear.Linear, not a state dict"),
        ({"weights": {"a": torch.ones(1)}}, r"possibly nested in .*with {'weights': 'dict'}"),
        ({"a": torch.ones(1), "b": torch.nn.ReLU()}, r"mapping of names to tensors.*'b': .*ReLU"),
    ],
    ids=["dict", "command", "builtin", "module", "unknown key", "value"],
)
def test_file_that_requires_code_raises_with_the_remedy(content, message, tmp_path):
    torch.save(content, tmp_path / "own.pth")
    with pytest.raises(ValueError, match=message) as error:
        read_tensors(tmp_path / "own.pth")
    assert str(tmp_path / "own.pth") in str(error.value)


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>Not found</html>", b"\x89PNG", b"\0"])
def test_file_of_another_kind_raises_with_its_path(tmp_path, content):
    (tmp_path / "page.pth").write_bytes(content * 50)
    with pytest.raises(ValueError, match=r"not a PyTorch checkpoint.*page\.pth"):
        read_tensors(tmp_path / "page.pth")


@pytest.mark.parametrize("serialization", [OLD, NEW])
@pytest.mark.parametrize("kept", [0, 10, 0.5, -3])
def test_truncated_file_raises_with_its_path(tmp_path, tensors, serialization, kept):
    path = save(tmp_path / "complete.pth", tensors, serialization)
    content = path.read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(content[: int(kept * len(content)) if kept == 0.5 else kept])
    with pytest.raises(ValueError, match=r"truncated, damaged.*cut\.pth"):
        read_tensors(cut)


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [1, 2], "text"], ids=["tensor", "list", "text"]
)
def test_file_without_a_state_dict_raises(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"not a state dict.*other\.pth"):
        read_tensors(tmp_path / "other.pth")


@pytest.mark.parametrize(("name", "error"), [("none.pth", FileNotFoundError), ("", OSError)])
def test_missing_file_raises_with_its_path(tmp_path, name, error):
    with pytest.raises(error, match=str(tmp_path)):
        read_tensors(tmp_path / name)


def test_file_without_torch_raises_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"model\.pth.*`python -m pip install torch`"):
        read_tensors(tmp_path / "model.pth")


def test_file_and_mapping_give_the_same_model(tmp_path):
    tensors = procedural.weights(published.resnet((1, 1, 1, 1), bottleneck=False))
    path = save(tmp_path / "resnet.pth", tensors)
    model, expected = keras_encnet.from_pytorch(path), keras_encnet.from_pytorch(tensors)
    for weights, expected_weights in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected_weights)
