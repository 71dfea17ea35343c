"""A run folder: what training records, and what evaluation and prediction make of it."""

import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import keras_encnet
from keras_encnet.utils.files import write_json
from saved_models import export
from tests.fixtures import SMALL_ENCNET, SMALL_FCN
from training import evaluate, predict
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import scenes
from training.input import folder
from training.input.image_files import decode_image, read_image, read_mask
from training.run import fit, run_folder
from training.tasks import segmentation, segmentation_scores
from training.tasks.segmentation_scores import SegmentationScoring


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=8, val=3, test=4)


@pytest.fixture(scope="module")
def run(data, eager, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "tiny"
    model, history = fit.train(ScenesEncNet(data=str(data), **SMALL_ENCNET), run_dir)
    return run_dir, model, history


def test_training_records_everything(run):
    run_dir, _, history = run
    config = json.loads((run_dir / "config.json").read_text())
    assert config["recipe"] == "ScenesEncNet"
    assert config["width_multiplier"] == 0.125
    assert json.loads((run_dir / "environment.json").read_text())["packages"]["keras"]
    written = json.loads((run_dir / "history.json").read_text())
    assert written["val_mean_iou"] == pytest.approx(history["val_mean_iou"])
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics["val_mean_iou"] == pytest.approx(max(history["val_mean_iou"]))
    assert Image.open(run_dir / "curves.png").size[0] > 100
    assert list((run_dir / "tensorboard").rglob("events*"))
    assert not list(run_dir.glob(".*"))  # no temporary file is left


def test_saved_model_predicts_like_the_trained_one(run):
    run_dir, model, _ = run
    loaded = keras.models.load_model(run_dir / "last.keras")
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), "uint8")
    np.testing.assert_array_equal(loaded.segment(image), model.segment(image))
    assert loaded.class_names == scenes.CLASSES


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(run, data, tmp_path):
    _, model, _ = run
    again, _ = fit.train(ScenesEncNet(data=str(data), **SMALL_ENCNET), tmp_path / "again")
    for first, second in zip(model.weights, again.weights, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_finished_run_is_not_overwritten_by_default(run, data):
    run_dir, *_ = run
    config = ScenesEncNet(data=str(data), **SMALL_ENCNET)
    with pytest.raises(FileExistsError, match="--overwrite"):
        fit.train(config, run_dir)


def test_evaluation_counts_every_pixel_once(run, data, capsys):
    run_dir, *_ = run
    evaluate.main(run_dir, data=str(data), split="test")
    assert "mean IoU" in capsys.readouterr().out
    scores = json.loads((run_dir / "evaluation-test" / "scores.json").read_text())

    split = folder.read_split(data, "test")
    model = keras.models.load_model(run_dir / "best.keras")
    truth = np.concatenate([read_mask(p).ravel() for p in split.mask_paths])
    images = [decode_image(str(p)).numpy() for p in split.image_paths]
    predicted = np.concatenate([m.ravel() for m in model.segment(images)])[truth != 255]
    truth = truth[truth != 255]
    assert scores["pixel_accuracy"] == pytest.approx((truth == predicted).mean(), abs=1e-4)
    ground = scenes.CLASSES.index("ground")
    both = (truth == ground) & (predicted == ground)
    either = (truth == ground) | (predicted == ground)
    assert scores["iou"]["ground"] == pytest.approx(both.sum() / either.sum(), abs=1e-4)
    for picture in ("confusion_matrix.png", "predictions.png"):
        assert Image.open(run_dir / "evaluation-test" / picture).size[0] > 100


@pytest.mark.parametrize("left", [*run_folder.FOLDERS, *run_folder.FILES])
def test_unknown_results_are_not_overwritten_by_default(left, data, tmp_path):
    (tmp_path / left).mkdir()
    with pytest.raises(FileExistsError, match=f"contains {left}, but no .*--overwrite"):
        fit.train(ScenesEncNet(data=str(data), **SMALL_ENCNET), tmp_path)
    assert (tmp_path / left).exists()


def test_models_of_another_class_raise(tiny_backbone, data, tmp_path):
    tiny_backbone().save(tmp_path / "backbone.keras")
    keras_encnet.ResNet14(width=4).save(tmp_path / "resnet14.keras")
    image = folder.read_split(data, "test").image_paths[0]
    with pytest.raises(ValueError, match="Expected a SegmentationModel. .*Classification"):
        predict.main(tmp_path / "resnet14.keras", (image,), tmp_path / "out")
    with pytest.raises(ValueError, match="or a ClassificationModel. .*backbone.keras', a Funct"):
        evaluate.main(tmp_path / "backbone.keras", data=str(data))


def test_models_of_normalized_images_raise(tiny_backbone, data, tmp_path):
    model = keras_encnet.FCN(tiny_backbone(), len(scenes.CLASSES), include_preprocessing=False)
    model.save(tmp_path / "normalized.keras")
    image = folder.read_split(data, "test").image_paths[0]
    with pytest.raises(ValueError, match="raw images.*normalized.keras', built with include_pre"):
        predict.main(tmp_path / "normalized.keras", (image,), tmp_path / "out")


def test_truncated_model_raises(run, data, tmp_path):
    run_dir, *_ = run
    path = tmp_path / "half.keras"
    path.write_bytes((run_dir / "best.keras").read_bytes()[:20_000])
    with pytest.raises(ValueError, match="of another format. Received: model=.*half.keras"):
        evaluate.main(path, data=str(data))


def test_another_number_of_classes_raises(run, data, tmp_path):
    run_dir, *_ = run
    other = scenes.write(tmp_path / "other", train=4, val=1, test=1)
    (other / "classes.txt").write_text("ground\nbox\n")
    with pytest.raises(ValueError, match="has 11 classes, the data 2"):
        evaluate.main(run_dir, data=str(other))


@pytest.mark.slow
def test_evaluation_ignores_the_labels_that_training_ignored(data, tmp_path):
    ground = scenes.CLASSES.index("ground")
    config = ScenesEncNet(data=str(data), ignore_class=(ground, 255), **SMALL_ENCNET)
    write_json(tmp_path / "config.json", run_folder.describe(config))
    segmentation.build_model(config, scenes.CLASSES).save(tmp_path / "best.keras")
    evaluate.main(tmp_path)
    scores = json.loads((tmp_path / "evaluation-test" / "scores.json").read_text())
    split = folder.read_split(data, "test")
    model = keras.models.load_model(tmp_path / "best.keras")
    expected, _ = segmentation_scores.evaluate(model, split, ignore_class=(ground, 255))
    assert scores["pixel_accuracy"] == pytest.approx(float(expected.result()["pixel_accuracy"]))
    evaluate.main(tmp_path, segmentation=SegmentationScoring(ignore_class=(255,)))
    assert json.loads((tmp_path / "evaluation-test" / "scores.json").read_text()) != scores


def test_evaluation_warns_about_differing_class_names(run, data, tmp_path, capsys):
    run_dir, *_ = run
    other = scenes.write(tmp_path / "other", train=1, val=1, test=1)
    names = (other / "classes.txt").read_text()
    (other / "classes.txt").write_text(names.replace("box", "crate"))
    evaluate.main(run_dir, data=str(other), output=tmp_path / "scores")
    assert "class 1 is 'box' in the model and 'crate' in" in capsys.readouterr().err


def test_fcn_uses_its_options(data):
    options = {"align_corners": True, "dropout": 0.3, "auxiliary": "fcn"}
    config = ScenesFCN(data=str(data), **SMALL_FCN, **options)
    model = segmentation.build_model(config, scenes.CLASSES)
    assert set(model.output) == {"segmentation", "segmentation_stage3"}
    assert model.get_layer("segmentation_dropout").rate == 0.3
    assert model.get_layer("segmentation").align_corners


def test_evaluation_of_an_empty_folder_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\.keras"):
        evaluate.main(tmp_path)


def test_predicted_masks_are_class_ids_with_a_palette(run, data, tmp_path):
    run_dir, *_ = run
    image = folder.read_split(data, "test").image_paths[0]
    predict.main(run_dir, (image,), tmp_path)
    picture = Image.open(tmp_path / f"{image.stem}.png")
    assert picture.mode == "P"
    model = keras.models.load_model(run_dir / "best.keras")
    expected = model.segment(read_image(image))
    np.testing.assert_array_equal(np.asarray(picture), expected)
    prediction = json.loads((tmp_path / "predictions.json").read_text())[str(image)]
    assert sum(prediction["shares"].values()) == pytest.approx(1)
    assert prediction["shares"].keys() <= prediction["presence"].keys() <= set(scenes.CLASSES)
    assert Image.open(tmp_path / f"{image.stem}_overlay.png").size[0] > 224


def test_prediction_does_not_write_over_results_of_another_image(run, data, tmp_path):
    image = folder.read_split(data, "test").image_paths[0]
    with pytest.raises(ValueError, match="overwrite each other's results"):
        predict.main(run[0], (image, image), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_prediction_does_not_overwrite_images(run, tmp_path):
    run_dir, *_ = run
    photo = tmp_path / "photo.png"
    Image.new("RGB", (32, 32)).save(photo)
    before = photo.read_bytes()
    for images, message in (
        ((photo,), "overwrite these images.*photo.png"),
        ((tmp_path / "a.jpg", tmp_path / "a_overlay.jpg"), "overwrite each other.*a_overlay.png"),
    ):
        with pytest.raises(ValueError, match=message):
            predict.main(run_dir, images, tmp_path)
    assert photo.read_bytes() == before


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


@pytest.mark.slow
def test_every_command_names_a_damaged_model(run, data, tmp_path):
    run_dir, *_ = run
    path = tmp_path / "flipped.keras"
    shutil.copy(run_dir / "best.keras", path)
    flip(path)
    image = folder.read_split(data, "test").image_paths[0]
    config = ScenesEncNet(
        data=str(data), start_from=str(path), backbone_weights=None, **SMALL_ENCNET
    )
    commands = {
        "evaluate": lambda: evaluate.main(path, data=str(data)),
        "predict": lambda: predict.main(path, (image,), tmp_path / "out"),
        "export": lambda: export.main(path, "name", folder=tmp_path / "saved_models"),
        "train": lambda: fit.train(config, tmp_path / "run"),
    }
    for name, command in commands.items():
        with pytest.raises(ValueError, match=r"damaged .*Received: model=.*flipped\.keras'$"):
            command()
        assert list(tmp_path.iterdir()) == [path], name


@pytest.mark.parametrize("file", ["config.json", "history.json"])
def test_damaged_record_of_a_run_is_named(file, run, data, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    path = tmp_path / "run" / file
    path.write_text(path.read_text()[:-20])
    config = ScenesEncNet(data=str(data), **SMALL_ENCNET)
    with pytest.raises(ValueError, match=rf"JSON object.* damaged.*{file}"):
        fit.is_finished(config, tmp_path / "run")
    if file == "config.json":
        with pytest.raises(ValueError, match=r"JSON object.* damaged.*config.json"):
            evaluate.main(tmp_path / "run")


def test_damaged_scores_are_named_by_the_export(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    scores = tmp_path / "run" / "evaluation-test" / "scores.json"
    scores.parent.mkdir(exist_ok=True)
    scores.write_text('{"model": "best.ker')
    for options in ({}, {"scores": scores}, {"scores": tmp_path / "none.json"}):
        with pytest.raises((ValueError, OSError), match=r"scores\.json|none\.json"):
            export.main(tmp_path / "run", "name", folder=tmp_path / "saved_models", **options)
