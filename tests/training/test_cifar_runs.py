"""The CIFAR recipes train, go on after an interruption, and are scored by the same scripts."""

import json

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
from training.run import callbacks, fit
from training.tasks import task_of
from training.tasks.segmentation_scores import SegmentationScoring

SMALL = {**SMALL_CIFAR, "epochs": 2, "checkpoint_every": 2}
COUNTS = {"train": 40, "test": 20}


@pytest.fixture(scope="module", autouse=True)
def small_data():
    """Stands for the data set: the first color channel tells the class."""

    def read_split(data, name, data_dir=None):
        draw = np.random.default_rng(len(name))
        labels = draw.integers(0, 10, COUNTS[name]).astype("int32")
        images = draw.integers(0, 256, (len(labels), 32, 32, 3)).astype("uint8")
        images[..., 0] = 25 * labels[:, None, None]
        return cifar.Split(name, images, labels, tuple("abcdefghij"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar, "read_split", read_split)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
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


def test_a_run_leaves_the_same_record_as_segmentation(run):
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


def test_the_rate_falls_by_a_cosine_to_zero_over_however_many_epochs(run):
    _, model, _ = run
    schedule = model.optimizer.get_config()["learning_rate"]
    rates = [float(fit.schedule(ClassificationConfig(), 10)(step)) for step in (0, 5, 10)]
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.0], atol=1e-7)
    assert schedule["config"]["decay_steps"] == 10  # of 2 epochs


def interrupted(config, run_dir, monkeypatch, steps):
    """Begins a run and stops it after so many steps."""

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


def test_an_interrupted_run_goes_on_to_the_same_weights_by_the_same_command(
    run, tmp_path, monkeypatch
):
    config = CIFAR10EncNet16k64d(**SMALL)
    # In the second epoch, a step after a checkpoint.
    interrupted(config, tmp_path / "run", monkeypatch, steps=9)
    model, history = fit.train(config, tmp_path / "run")
    _, uninterrupted, expected = run
    for one, other in zip(model.variables, uninterrupted.variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    assert history == expected
    written = json.loads((tmp_path / "run" / "history.json").read_text())
    assert written["loss"] == expected["loss"]


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("cifar10")])
def test_every_recipe_runs_from_end_to_end(name, tmp_path, monkeypatch):
    run_dir = tmp_path / "run"
    options = {**SMALL, "width": 16, "batch_size": 20}
    if RECIPES[name].network != "encnet14":
        del options["num_codewords"]
    config = RECIPES[name](**options)
    # Tracing would take most of the time.
    tf.config.run_functions_eagerly(True)
    try:
        interrupted(config, run_dir, monkeypatch, steps=3)
        model, history = fit.train(config, run_dir)
        assert len(history["val_accuracy"]) == 2
        evaluate.main(run_dir)
    finally:
        tf.config.run_functions_eagerly(False)
    scores = json.loads((run_dir / "evaluation-test" / "scores.json").read_text())
    assert scores["accuracy"] == pytest.approx(max(history["val_accuracy"]))

    export_saved_model(model, tmp_path / "export")
    served = tf.saved_model.load(tmp_path / "export").signatures["tensors"]
    images = cifar.read_split("cifar10", "test").images[:3]
    answer = served(images=tf.constant(images, tf.float32))["probabilities"]
    np.testing.assert_allclose(answer, model.classify(images), atol=1e-5)


def test_a_finished_run_and_one_of_other_options_are_refused(run):
    run_dir, *_ = run
    with pytest.raises(FileExistsError, match=r"finished after 2 epochs.*--overwrite"):
        fit.train(CIFAR10EncNet16k64d(**SMALL), run_dir)
    with pytest.raises(FileExistsError, match=r"epochs=2: go on with these.*--overwrite"):
        fit.train(CIFAR10EncNet16k64d(**{**SMALL, "epochs": 3}), run_dir)


def test_overwriting_begins_anew(tmp_path):
    config = {**SMALL, "epochs": 1}
    fit.train(CIFAR10EncNet16k64d(**config), tmp_path)
    _, history = fit.train(CIFAR10EncNet16k64d(**config, overwrite=True), tmp_path)
    assert len(history["loss"]) == 1


def test_evaluation_scores_the_data_of_the_run(run, capsys):
    run_dir, *_ = run
    evaluate.main(run_dir)
    assert "error" in capsys.readouterr().out
    scores = json.loads((run_dir / "evaluation-test" / "scores.json").read_text())
    split = cifar.read_split("cifar10", "test")
    best = keras.models.load_model(run_dir / "best.keras")
    right = best.classify(split.images).argmax(-1) == split.labels
    assert scores["accuracy"] == pytest.approx(right.mean())
    assert scores["recall"]["b"] == pytest.approx(right[split.labels == 1].mean())
    assert (run_dir / "evaluation-test" / "confusion_matrix.png").exists()


def test_evaluation_refuses_what_only_segmentation_has(run):
    run_dir, *_ = run
    with pytest.raises(ValueError, match="multi_scale"):
        evaluate.main(run_dir, segmentation=SegmentationScoring(multi_scale=True))
    with pytest.raises(ValueError, match="`--absent-classes`.* for classifiers"):
        evaluate.main(run_dir, segmentation=SegmentationScoring(absent_classes="zero"))


def test_evaluation_reads_the_data_where_the_run_had_it(run, tmp_path, monkeypatch):
    run_dir, model, _ = run
    config = json.loads((run_dir / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "data_dir": "elsewhere"}))
    model.save(tmp_path / "best.keras")
    asked, read = [], cifar.read_split
    monkeypatch.setattr(cifar, "read_split", lambda *place: asked.append(place) or read(*place))
    evaluate.main(tmp_path)
    assert asked == [("cifar10", "test", "elsewhere")]
