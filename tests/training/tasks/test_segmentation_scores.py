"""Tests of the scores of segmentation models and of `training.evaluate`."""

import json

import numpy as np
import pytest

import keras_encnet
from training import cli, evaluate
from training.datasets import scenes
from training.input import folder
from training.input.image_files import decode_image, read_mask
from training.tasks.boundary_scores import BoundaryIoU
from training.tasks.segmentation_scores import SegmentationScoring, evaluate_multi_scale


@pytest.mark.slow
def test_multi_scale_scores_follow_the_segmenter(
    tiny_backbone, randomize, tmp_path, monkeypatch, capsys
):
    data = scenes.write(tmp_path / "scenes", train=1, val=1, test=2)
    model = randomize(keras_encnet.EncNet(tiny_backbone(), len(scenes.CLASSES), channels=8))
    model.save(tmp_path / "best.keras")
    options = ["--multi-scale", "--base-size", "104", "--crop-size", "96"]
    monkeypatch.setattr("sys.argv", ["evaluate", str(tmp_path), "--data", str(data), *options])
    cli.run(evaluate.main)
    assert "2/2" in capsys.readouterr().err  # the progress bar
    scores = json.loads((tmp_path / "evaluation-test-multi-scale" / "scores.json").read_text())
    assert scores["multi_scale"] == {"base_size": 104, "crop_size": 96, "protocol": "official"}

    segmenter = keras_encnet.MultiScaleSegmenter(model, base_size=104, crop_size=96)
    split = folder.read_split(data, "test")
    correct = total = 0
    for image_path, mask_path in zip(split.image_paths, split.mask_paths, strict=True):
        raw = decode_image(str(image_path)).numpy()
        truth = read_mask(mask_path)
        correct += np.sum((segmenter(raw).argmax(-1) == truth) & (truth != 255))
        total += np.sum(truth != 255)
    assert scores["pixel_accuracy"] == pytest.approx(correct / total, abs=1e-6)


@pytest.mark.parametrize("size", [None, 64, "native"])
def test_scores_are_those_of_segment_at_the_working_size(
    size, tiny_backbone, randomize, tmp_path, monkeypatch
):
    data = scenes.write(tmp_path / "scenes", train=1, val=1, test=2)
    backbone = tiny_backbone()
    model = randomize(keras_encnet.FCN(backbone, len(scenes.CLASSES), working_size=100))
    model.save(tmp_path / "best.keras")
    options = [] if size is None else ["--size", str(size)]
    monkeypatch.setattr("sys.argv", ["evaluate", str(tmp_path), "--data", str(data), *options])
    cli.run(evaluate.main)
    scores = json.loads((tmp_path / "evaluation-test" / "scores.json").read_text())
    assert scores["working_size"] == (size or 100)
    split = folder.read_split(data, "test")
    expected = keras_encnet.SegmentationMetrics(model.classes)
    for image_path, mask_path in zip(split.image_paths, split.mask_paths, strict=True):
        classes = model.segment(decode_image(str(image_path)).numpy(), size=size)
        expected.update_state(read_mask(mask_path), classes)
    assert scores["mean_iou"] == pytest.approx(float(expected.result()["mean_iou"]), abs=1e-6)


def test_size_has_no_effect_with_multi_scale():
    with pytest.raises(ValueError, match="`--size` has no effect with `--multi-scale`"):
        SegmentationScoring(multi_scale=True, size=64)


def test_base_size_accepts_two_bounds_on_the_command_line(tiny_backbone, tmp_path, monkeypatch):
    data = scenes.write(tmp_path / "scenes", train=1, val=1, test=1)
    keras_encnet.EncNet(tiny_backbone(), len(scenes.CLASSES), channels=8).save(
        tmp_path / "best.keras"
    )
    options = ["--multi-scale", "--base-size", "128", "64", "--protocol", "mmsegmentation"]
    monkeypatch.setattr("sys.argv", ["evaluate", str(tmp_path), "--data", str(data), *options])
    cli.run(evaluate.main)
    scores = json.loads((tmp_path / "evaluation-test-multi-scale" / "scores.json").read_text())
    assert scores["multi_scale"]["base_size"] == [128, 64]


@pytest.mark.slow
def test_mean_iou_with_background(tiny_backbone, randomize, tmp_path, monkeypatch, capsys):
    data = scenes.write(tmp_path / "scenes", train=1, val=1, test=2)
    randomize(keras_encnet.FCN(tiny_backbone(), len(scenes.CLASSES))).save(tmp_path / "best.keras")
    options = ["--with-background", "--absent-classes", "zero"]
    monkeypatch.setattr("sys.argv", ["evaluate", str(tmp_path), "--data", str(data), *options])
    cli.run(evaluate.main)
    assert "with background" in capsys.readouterr().out
    scores = json.loads((tmp_path / "evaluation-test" / "scores.json").read_text())
    expected = scores["mean_iou"] * len(scenes.CLASSES) / (len(scenes.CLASSES) + 1)
    assert scores["mean_iou_with_background"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "multi_scale",
    [[], pytest.param(["--multi-scale", "--crop-size", "64"], marks=pytest.mark.slow)],
    ids=["single_scale", "multi_scale"],
)
def test_scores_per_class_and_near_boundaries_are_reported(
    multi_scale, tiny_backbone, randomize, tmp_path, monkeypatch, capsys
):
    data = scenes.write(tmp_path / "scenes", train=1, val=1, test=2)
    model = randomize(keras_encnet.FCN(tiny_backbone(), len(scenes.CLASSES)))
    model.save(tmp_path / "best.keras")
    options = ["--data", str(data), "--boundary", "--output", str(tmp_path / "out"), *multi_scale]
    monkeypatch.setattr("sys.argv", ["evaluate", str(tmp_path), *options])
    cli.run(evaluate.main)
    printed = capsys.readouterr().out
    assert "boundary IoU %" in printed
    assert "frequency-weighted IoU" in printed
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    segment = model.segment
    if multi_scale:
        segmenter = keras_encnet.MultiScaleSegmenter(model, crop_size=64)
        segment = lambda image: segmenter(image).argmax(-1)  # noqa: E731
    split = folder.read_split(data, "test")
    metric = keras_encnet.SegmentationMetrics(model.classes)
    boundary = BoundaryIoU(model.classes, (255,))
    for image_path, mask_path in zip(split.image_paths, split.mask_paths, strict=True):
        truth, classes = read_mask(mask_path), segment(decode_image(str(image_path)).numpy())
        metric.update_state(truth, classes)
        boundary.update(truth, classes)
    for name, values in {
        "f1": metric.per_class_f1(),
        "precision": metric.per_class_precision(),
        "recall": metric.per_class_recall(),
        "boundary_iou": boundary.per_class(),
    }.items():
        found = [np.nan if x is None else x for x in scores[name].values()]
        np.testing.assert_allclose(found, values, atol=1e-3, err_msg=name)
        assert scores[f"mean_{name}"] == pytest.approx(np.nanmean(found))
    assert scores["boundary_ratio"] == 0.02


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["official", "mmsegmentation"])
def test_each_pixel_counts_once_for_any_batch_size_of_windows(
    protocol, tiny_backbone, randomize, tmp_path
):
    data = scenes.write(tmp_path / "scenes", train=1, val=1, test=3)
    split = folder.read_split(data, "test")
    labels = np.concatenate([read_mask(path).ravel() for path in split.mask_paths])
    model = randomize(keras_encnet.FCN(tiny_backbone(), len(scenes.CLASSES)))
    options = {"base_size": 104, "crop_size": 48, "scales": (0.5, 1.0), "window": "slide"}
    matrices = []
    for batch_size in (1, 2, 5):
        segmenter = keras_encnet.MultiScaleSegmenter(
            model, protocol=protocol, batch_size=batch_size, **options
        )
        metric = evaluate_multi_scale(segmenter, split)
        matrices.append(np.asarray(metric.confusion_matrix))
    for matrix in matrices:
        np.testing.assert_array_equal(
            matrix.sum(1), np.bincount(labels[labels != 255], minlength=len(scenes.CLASSES))
        )
        # Sums of floats in another order may change the arg-max of a few pixels.
        assert np.abs(matrix - matrices[0]).sum() <= 1e-3 * matrix.sum()
