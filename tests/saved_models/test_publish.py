"""`python -m saved_models.publish`: what it uploads is what `keras.saving.load_model` reads."""

import json
import socket
import sys
from pathlib import Path

import huggingface_hub
import keras
import numpy as np
import pytest
import tyro
import yaml
from huggingface_hub import constants

import keras_encnet  # registers the layers
from saved_models import hub, publish
from saved_models.hub_card import Facts, hub_card
from tests.fixtures import raw_images
from tests.saved_models.hub_stand_in import TOKEN, USER, HubStandIn
from training import cli
from training.run import trained_models

NAMES = ("sky", "a | b", "road", "car", "person")
SCORES = {
    "model": "best.keras",
    "data": "somewhere/street",
    "split": "test",
    "images": 3,
    "working_size": 64,
    "mean_iou": 0.25,
    "pixel_accuracy": 0.75,
    "iou": {"sky": 0.5, "a | b": None},
}


@pytest.fixture(scope="module")
def model(tiny_backbone):
    network = keras_encnet.EncNet(tiny_backbone(), classes=5, channels=4, working_size=64)
    network.class_names = NAMES
    network.compile(keras_encnet.optimizers.SGD(0.1), **keras_encnet.objectives(network))
    return network


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """The folder of a run, whose model has an optimizer."""
    folder = tmp_path_factory.mktemp("run")
    model.optimizer.build(model.trainable_variables)
    model.save(folder / "best.keras")
    (folder / "config.json").write_text('{"recipe": "Tiny", "data": "/secret/street"}')
    data = {"train": {"classes": NAMES, "images": {"a": "0", "b": "1"}}}
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "evaluation-test").mkdir()
    (folder / "evaluation-test/scores.json").write_text(json.dumps(SCORES))
    return folder


@pytest.fixture
def server(monkeypatch, tmp_path):
    with HubStandIn() as stand_in:
        use(stand_in.url, monkeypatch, tmp_path)
        yield stand_in


def use(url, monkeypatch, tmp_path):
    """Sets what `huggingface_hub` reads from HF_ENDPOINT and HF_HUB_CACHE at its import."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture
def card(tmp_path):
    """A folder with a card and nothing else."""
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def call(*arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["publish", *map(str, arguments)])
    with cli.plain_errors():
        tyro.cli(publish.main)


def predictions(network):
    return network(raw_images(1, 32, 32), training=False)["segmentation"].numpy()


@pytest.mark.parametrize(
    "large_files",
    [
        pytest.param(False, id="in the commit"),
        pytest.param(True, id="as large files", marks=pytest.mark.slow),
    ],
)
def test_published_model_loads_from_the_hub(large_files, run, model, server, monkeypatch, tmp_path):
    server.large_files = large_files
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", large_files)
    call(run, f"hf://{USER}/net", "--license", "cc-by-4.0", monkeypatch=monkeypatch)
    files = server.repositories[f"{USER}/net"]
    assert set(files) == {"README.md", "config.json", "metadata.json", "model.weights.h5"}
    assert bool(server.objects) == large_files
    loaded = keras.saving.load_model(f"hf://{USER}/net")
    np.testing.assert_array_equal(predictions(loaded), predictions(model))
    assert loaded.class_names == NAMES
    assert loaded.working_size == 64
    assert not loaded.compiled  # the state of the optimizer is not published
    assert f'load_model("hf://{USER}/net")' in files["README.md"].decode()


def test_keras_saves_to_the_hub(model, server, monkeypatch):
    # Keras draws the model where pydot is installed, and fails if Graphviz is not.
    monkeypatch.setattr("keras.src.saving.saving_lib.check_pydot", lambda: False)
    model.save(f"hf://{USER}/plain")
    loaded = keras.saving.load_model(f"hf://{USER}/plain")
    np.testing.assert_array_equal(predictions(loaded), predictions(model))


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        target = tmp_path_factory.mktemp("published") / "net"
        call(run, target, "--license", "cc-by-4.0", monkeypatch=monkeypatch)
    return target


def test_published_folder_is_a_plain_model(folder, run, model, monkeypatch):
    np.testing.assert_array_equal(predictions(keras.saving.load_model(folder)), predictions(model))
    with pytest.raises(SystemExit, match="not overwritten.*Received: target="):
        call(run, folder, "--license", "mit", monkeypatch=monkeypatch)


def test_card_states_classes_input_data_scores_license_and_loading(folder):
    card = (folder / "README.md").read_text()
    for text in (
        'keras.saving.load_model("FOLDER")',
        "import keras_encnet",
        "| 0 | sky |",
        r"| 1 | a \| b |",
        "The normalization (`torch`) is a layer of the model",
        "a long side of 64",
        "`street`: 2 images in the split `train`",
        "split `test`, 3 images, working size 64",
        "| mean IoU | 0.2500 |",
        r"| IoU of a \| b | not in the split |",
        '"recipe": "Tiny"',
        "`cc-by-4.0`",
    ):
        assert text in card, text
    assert "/secret" not in card
    assert "somewhere" not in card
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["pipeline_tag"] == "image-segmentation"
    found = {
        r.metric_type: r.metric_value for r in huggingface_hub.ModelCard(card).data.eval_results
    }
    assert found == {"mean_iou": 0.25, "pixel_accuracy": 0.75}


def test_card_of_a_classifier_without_scores():
    classifier = keras_encnet.ResNet14(width=4)
    card = hub_card(classifier, None, "small", Facts("mit"))
    assert "image-classification" in card
    assert "model-index" not in card
    assert "Not evaluated." in card
    assert "32 x 32" in card


@pytest.mark.parametrize(
    "target", ["hf://name", "hf://a/b/c", "hf:/a/b", "HF://a/b", "hf://a/b--c", "hf://a/b c"]
)
def test_invalid_repositories_are_refused(target):
    with pytest.raises(ValueError, match="hf://user/name.*Received: target="):
        hub.repository_of(target)


def test_paths_are_no_repositories():
    assert hub.repository_of("runs/hf") is None
    assert hub.repository_of("hf://a.b/c_d-e") == "a.b/c_d-e"


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        (f"{USER}/net", None, "token with write access.*hf auth login"),
        (f"{USER}/net", "hf_wrong", "does not accept the token"),
        ("other/net", TOKEN, "no write access.*rights to create"),
    ],
)
def test_refusals_of_the_hub_are_sentences(name, token, message, server, monkeypatch, card):
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(OSError, match=f"{message}.*Received: repository='{name}'"):
        hub.Hub(name).upload(card, "Upload")
    assert not server.repositories


def test_invalid_metadata_are_reported(server, card):
    (card / "README.md").write_text("---\nlicense: my-own\n---\n")
    with pytest.raises(OSError, match="model card; see `--license`.*my-own.*Received: repository="):
        hub.Hub(f"{USER}/net").upload(card, "Upload")
    assert not server.repositories


def test_login_is_checked_before_the_model_is_read(server, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "best.keras").write_text("damaged")
    with pytest.raises(SystemExit, match="hf auth login"):
        call(tmp_path, f"hf://{USER}/net", "--license", "mit", monkeypatch=monkeypatch)


def test_missing_repositories_are_named_when_they_are_loaded(server):
    with pytest.raises(huggingface_hub.errors.RepositoryNotFoundError, match="street/nothing"):
        keras.saving.load_model("hf://street/nothing")


def test_commands_state_how_to_use_a_model_of_the_hub():
    with pytest.raises(ValueError, match=r"load_model\('hf://a/b'\).save\('b.keras'\).*Received"):
        trained_models.find_model(Path("hf://a/b"))


def test_unreachable_hub_is_reported(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    use(f"http://127.0.0.1:{port}", monkeypatch, tmp_path)
    with pytest.raises(OSError, match=f"{port} failed: .*same command again. Received"):
        hub.Hub(f"{USER}/net")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="python -m pip install huggingface_hub"):
        hub.Hub("a/b")
