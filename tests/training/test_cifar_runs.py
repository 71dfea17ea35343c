"""Tests that the CIFAR recipes train, resume and are scored by the same commands."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet.export import export_saved_model
from tests.fixtures import SMALL_CIFAR
from training import evaluate
from training.configs import RECIPES, ClassificationConfig
from training.configs.cifar10 import CIFAR10EncNet16k64d
from training.datasets import cifar
from training.run import callbacks, fit, progress
from training.tasks import task_of
from training.tasks.segmentation_scores import SegmentationScoring

pytestmark = pytest.mark.usefixtures("eager")

SMALL = {**SMALL_CIFAR, "epochs": 2, "checkpoint_every": 2}
COUNTS = {"train": 24, "test": 20}


@pytest.fixture(scope="module", autouse=True)
def small_data():
    """Replaces the data set by images whose first color channel encodes the class."""

    def read_split(data, name, data_dir=None):
        rng = np.random.default_rng(len(name))
        labels = rng.integers(0, 10, COUNTS[name]).astype("int32")
        images = rng.integers(0, 256, (len(labels), 32, 32, 3)).astype("uint8")
        images[..., 0] = 25 * labels[:, None, None]
        return cifar.Split(name, images, labels, tuple("abcdefghij"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar, "read_split", read_split)
        yield


@pytest.fixture(scope="module")
def run(eager, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "tiny"
    return run_dir, *fit.train(CIFAR10EncNet16k64d(**SMALL), run_dir)


def test_every_recipe_builds_the_network_of_its_name():
    widths = {"64d": 64, "16k64d": 64, "32k128d": 128}
    found = {name: recipe for name, recipe in RECIPES.items() if name.startswith("cifar10")}
    assert len(found) == 4
    for name, recipe in found.items():
        model = task_of(recipe(batch_size=8)).build_model()
        network, structure = name.removeprefix("cifar10_").rsplit("_", 1)
        assert model.name == f"{network}14"
        assert model.get_layer("stem_conv").filters == widths[structure]
        assert model.class_names == tuple("abcdefghij")
        if network == "encnet":
            encoding = model.get_layer("stage1_block1_gate_encoding")
            assert f"{encoding.num_codewords}k" in structure
            assert encoding.stochastic_scale


def test_run_folder_has_the_files_of_a_segmentation_run(run):
    run_dir, model, history = run
    assert json.loads((run_dir / "config.json").read_text())["recipe"] == "CIFAR10EncNet16k64d"
    written = json.loads((run_dir / "history.json").read_text())
    assert written["val_accuracy"] == history["val_accuracy"]
    assert len(written["seconds"]) == 2
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics["val_accuracy"] == max(history["val_accuracy"])
    loaded = keras.models.load_model(run_dir / "last.keras")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("uint8")
    np.testing.assert_array_equal(loaded.classify(images), model.classify(images))
    assert loaded.class_names == tuple("abcdefghij")


def test_cosine_schedule_spans_all_epochs(run):
    _, model, _ = run
    schedule = model.optimizer.get_config()["learning_rate"]
    rates = [float(fit.schedule(ClassificationConfig(), 10)(step)) for step in (0, 5, 10)]
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.0], atol=1e-7)
    assert schedule["config"]["decay_steps"] == 6  # 2 epochs


def interrupted(config, run_dir, monkeypatch, steps):
    """Starts a run and interrupts it after some steps."""

    class Interrupt(keras.callbacks.Callback):
        taken = 0

        def on_train_batch_end(self, batch, logs=None):
            self.taken += 1
            if self.taken == steps:
                raise KeyboardInterrupt

    run_callbacks = callbacks.run_callbacks
    with monkeypatch.context() as patch:
        patch.setattr(
            callbacks, "run_callbacks", lambda *a, **b: [*run_callbacks(*a, **b), Interrupt()]
        )
        with pytest.raises(KeyboardInterrupt):
            fit.train(config, run_dir)


@pytest.mark.slow
def test_resume_gives_identical_weights(run, tmp_path, monkeypatch):
    config = CIFAR10EncNet16k64d(**SMALL)
    # In the second epoch, one step after a checkpoint.
    interrupted(config, tmp_path / "run", monkeypatch, steps=5)
    model, history = fit.train(config, tmp_path / "run")
    _, uninterrupted, expected = run
    for one, other in zip(model.variables, uninterrupted.variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    assert history == expected
    written = json.loads((tmp_path / "run" / "history.json").read_text())
    assert written["loss"] == expected["loss"]


# The fixture `run` is the third network; widths are checked where the networks are built.
@pytest.mark.parametrize(
    "name",
    ["cifar10_resnet_64d", "cifar10_se_resnet_64d"],
)
@pytest.mark.slow
def test_networks_without_codewords_train_resume_and_are_scored(
    name, tmp_path, monkeypatch, capsys
):
    run_dir = tmp_path / "run"
    options = {**SMALL, "width": 16, "batch_size": 12}
    del options["num_codewords"]
    config = RECIPES[name](**options)
    interrupted(config, run_dir, monkeypatch, steps=3)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    capsys.readouterr()
    _, history = fit.train(config, run_dir)
    assert len(history["val_accuracy"]) == 2
    steps = re.findall(r"epoch \d of 2, step \d of 2", capsys.readouterr().out)
    assert steps == ["epoch 2 of 2, step 1 of 2", "epoch 2 of 2, step 2 of 2"]
    evaluate.main(run_dir)
    scores = json.loads((run_dir / "evaluation-test" / "scores.json").read_text())
    assert scores["accuracy"] == pytest.approx(max(history["val_accuracy"]))


@pytest.mark.slow
def test_trained_model_is_exported(run, tmp_path):
    _, model, _ = run
    export_saved_model(model, tmp_path / "export")
    served = tf.saved_model.load(tmp_path / "export").signatures["tensors"]
    images = cifar.read_split("cifar10", "test").images[:3]
    found = served(images=tf.constant(images, tf.float32))["probabilities"]
    np.testing.assert_allclose(found, model.classify(images), atol=1e-5)


def test_finished_run_and_run_of_other_options_raise(run):
    run_dir, *_ = run
    with pytest.raises(FileExistsError, match=r"finished after 2 epochs.*--overwrite"):
        fit.train(CIFAR10EncNet16k64d(**SMALL), run_dir)
    with pytest.raises(FileExistsError, match=r"epochs=2. Use these to resume.*--overwrite"):
        fit.train(CIFAR10EncNet16k64d(**{**SMALL, "epochs": 3}), run_dir)


@pytest.mark.slow
def test_overwrite_starts_from_scratch(run, tmp_path):
    finished, *_ = run
    shutil.copytree(finished, tmp_path / "run")
    config = CIFAR10EncNet16k64d(**{**SMALL, "epochs": 1}, overwrite=True)
    _, history = fit.train(config, tmp_path / "run")
    assert len(history["loss"]) == 1


def test_evaluation_scores_the_data_of_the_run(run, capsys):
    run_dir, *_ = run
    evaluate.main(run_dir)
    assert "error" in capsys.readouterr().out
    scores = json.loads((run_dir / "evaluation-test" / "scores.json").read_text())
    split = cifar.read_split("cifar10", "test")
    best = keras.models.load_model(run_dir / "best.keras")
    correct = best.classify(split.images).argmax(-1) == split.labels
    assert scores["accuracy"] == pytest.approx(correct.mean())
    assert scores["recall"]["b"] == pytest.approx(correct[split.labels == 1].mean())
    assert (run_dir / "evaluation-test" / "confusion_matrix.png").exists()


def test_options_of_segmentation_raise(run):
    run_dir, *_ = run
    with pytest.raises(ValueError, match="multi_scale"):
        evaluate.main(run_dir, segmentation=SegmentationScoring(multi_scale=True))
    with pytest.raises(ValueError, match="`--absent-classes`.* for classifiers"):
        evaluate.main(run_dir, segmentation=SegmentationScoring(absent_classes="zero"))


def test_evaluation_uses_the_data_folder_of_the_run(run, tmp_path, monkeypatch):
    run_dir, model, _ = run
    config = json.loads((run_dir / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "data_dir": "elsewhere"}))
    model.save(tmp_path / "best.keras")
    requested, read = [], cifar.read_split
    monkeypatch.setattr(cifar, "read_split", lambda *place: requested.append(place) or read(*place))
    evaluate.main(tmp_path)
    assert requested == [("cifar10", "test", "elsewhere")]
