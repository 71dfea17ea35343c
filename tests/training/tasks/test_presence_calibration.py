"""Runs end with a calibrated presence branch in the saved models, and in these only."""

import keras
import numpy as np
import pytest

import keras_encnet
from keras_encnet import objectives, optimizers
from keras_encnet.calibration import fit_calibration, predict_presence
from keras_encnet.utils.files import read_json, write_json
from tests.fixtures import SMALL_ENCNET
from tests.training.folders import write_split
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.input.segmentation_batches import whole_images
from training.run import fit
from training.tasks import segmentation
from training.tasks.presence_calibration import calibrate_run

KEY = "presence_calibration"
BRANCHES = ("presence", "presence_stage3")


@pytest.fixture
def splits(tmp_path, rng):
    """Splits for training and validation, in which every image has classes 0 and 1 only."""

    def split(name, stems):
        images = {
            stem: (
                rng.integers(0, 256, (32, 48, 3), "uint8"),
                rng.integers(0, 2, (32, 48), "uint8"),
            )
            for stem in stems
        }
        return write_split(tmp_path / "data", images, class_names=4, name=name)

    return split("train", ["a", "b"]), split("val", [f"v{i}" for i in range(6)])


@pytest.fixture
def run(tiny_backbone, randomize, tmp_path):
    """The folder of a run whose last epoch has just ended, the first being the best; its model."""
    model = keras_encnet.EncNet(tiny_backbone(), 4, channels=8, num_codewords=5, variant="paper")
    model.compile(optimizers.SGD(), **objectives(model))
    model.optimizer.build(model.trainable_variables)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    for seed, name in enumerate(("best.keras", "last.keras")):
        randomize(model, seed)
        for branch in BRANCHES:
            model.get_layer(branch).bias.assign([-9.0, -9.0, 9.0, 9.0])  # the opposite of the masks
        model.save(run_dir / name)
    write_json(run_dir / "metrics.json", {"epoch": 1, "val_mean_iou": 0.5})
    write_json(run_dir / "history.json", {"loss": [1.0, 0.9]})
    return run_dir, model


def weights_of(path):
    model = keras.models.load_model(path)
    return {w.path: w.numpy() for w in (*model.weights, *model.optimizer.variables)}


@pytest.mark.slow
def test_saved_models_and_the_model_in_memory_are_calibrated(run, splits):
    run_dir, model = run
    names = ("best.keras", "last.keras")
    seen, unseen = map(whole_images, splits)
    trained = {name: keras.models.load_model(run_dir / name) for name in names}
    before = {name: weights_of(run_dir / name) for name in names}
    calibrate_run(run_dir, model, *splits, ignore_class=(255,))
    metrics = read_json(run_dir / "metrics.json")
    assert metrics["epoch"] == 1
    for name in names:
        record = metrics[KEY][name.removesuffix(".keras")]
        assert {branch: r["images"] for branch, r in record.items()} == dict.fromkeys(BRANCHES, 6)
        presence, logits = predict_presence(trained[name], unseen)
        seen_presence, seen_logits = predict_presence(trained[name], seen)
        _, calibrated = predict_presence(keras.models.load_model(run_dir / name), unseen)
        for branch in BRANCHES:
            assert record[branch]["calibrated"]
            more = seen_presence, seen_logits[branch]
            slope, bias = fit_calibration(presence, logits[branch], more)
            np.testing.assert_allclose(
                calibrated[branch], slope * logits[branch] + bias, rtol=1e-3, atol=1e-3
            )
        after = weights_of(run_dir / name)
        differing = {key for key in after if (after[key] != before[name][key]).any()}
        assert {key.split("/")[0] for key in differing} == set(BRANCHES)
    last = weights_of(run_dir / "last.keras")
    for weight in model.weights:
        np.testing.assert_array_equal(weight, last[weight.path])


def test_best_model_that_is_the_last_one_is_calibrated_once(run, splits):
    run_dir, model = run
    write_json(run_dir / "metrics.json", {"epoch": 2})
    calibrate_run(run_dir, model, *splits, ignore_class=(255,))
    assert (run_dir / "best.keras").read_bytes() == (run_dir / "last.keras").read_bytes()
    record = read_json(run_dir / "metrics.json")[KEY]
    assert record["best"] == record["last"]


@pytest.mark.slow
def test_repeated_calibration_changes_nothing(run, splits):
    run_dir, model = run
    calibrate_run(run_dir, model, *splits, ignore_class=(255,))
    files = {path: path.read_bytes() for path in run_dir.iterdir()}
    calibrate_run(run_dir, model, *splits, ignore_class=(255,))
    assert files == {path: path.read_bytes() for path in run_dir.iterdir()}
    # After an interruption, before the record was written.
    before = weights_of(run_dir / "last.keras")
    write_json(run_dir / "metrics.json", {"epoch": 1})
    calibrate_run(run_dir, model, *splits, ignore_class=(255,))
    for name, value in weights_of(run_dir / "last.keras").items():
        np.testing.assert_allclose(value, before[name], rtol=1e-4, atol=1e-4)


def test_validation_on_training_images_is_no_calibration(run, splits, capsys):
    run_dir, model = run
    before = (run_dir / "last.keras").read_bytes()
    calibrate_run(run_dir, model, splits[1], splits[1], ignore_class=(255,))
    reason = "6 of the 6 validation images are training images"
    assert reason in capsys.readouterr().out
    assert read_json(run_dir / "metrics.json")[KEY] == {"skipped": reason}
    assert before == (run_dir / "last.keras").read_bytes()


def test_one_validation_image_is_recorded_as_valid_json(run, splits, capsys):
    run_dir, model = run
    train, val = splits
    calibrate_run(run_dir, model, train, val.without(val.stems[1:]), ignore_class=(255,))
    assert "one validation image shows no improvement" in capsys.readouterr().out
    assert "NaN" not in (run_dir / "metrics.json").read_text()
    record = read_json(run_dir / "metrics.json")[KEY]["last"]["presence"]
    assert record["calibrated_se_loss"] is None
    assert not record["calibrated"]


def test_branch_without_a_loss_is_no_part_of_the_network():
    config = ScenesEncNet(se_weight=0.0, variant="paper", auxiliary="none")
    assert config.final_results() == ()
    model = segmentation.build_model(config, scenes.CLASSES)
    assert list(model.output) == ["segmentation"]
    assert model.class_names == scenes.CLASSES
    with pytest.raises(ValueError, match="`--presence-multiplier` has no effect"):
        ScenesEncNet(se_weight=0.0, presence_multiplier=2.0).check()


def test_only_networks_with_presence_are_calibrated():
    assert ScenesEncNet().final_results() == (KEY,)
    assert ScenesEncNet(calibrate_presence=False).final_results() == ()
    assert ScenesFCN().final_results() == ()
    with pytest.raises(ValueError, match="`--calibrate-presence` has no effect in this recipe"):
        ScenesFCN(calibrate_presence=False).check()


@pytest.mark.slow
def test_run_is_complete_after_the_calibration(tmp_path):
    data = scenes.write(tmp_path / "scenes", train=4, val=3, test=1)
    options = {**SMALL_ENCNET, "calibrate_presence": True, "warmup_steps": None}
    config = ScenesEncNet(data=str(data), **options)
    run_dir = tmp_path / "run"
    fit.train(config, run_dir)
    metrics = read_json(run_dir / "metrics.json")
    assert fit.is_finished(config, run_dir)
    with pytest.raises(FileExistsError, match="finished after 1 epochs"):
        fit.train(config, run_dir)
    # Killed between the last epoch and the record: the same command completes the run.
    write_json(run_dir / "metrics.json", {k: v for k, v in metrics.items() if k != KEY})
    assert not fit.is_finished(config, run_dir)
    fit.train(config, run_dir)
    assert read_json(run_dir / "metrics.json")[KEY].keys() == metrics[KEY].keys()
