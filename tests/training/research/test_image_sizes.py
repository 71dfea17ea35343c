"""Tests of `training.research.image_sizes`."""

import numpy as np
import pytest

import keras_encnet
from keras_encnet.utils.files import read_json
from training import cli
from training.datasets import scenes
from training.input import folder, image_files
from training.research import image_sizes
from training.tasks import segmentation_scores


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=1, val=1, test=3)


@pytest.fixture
def model(tiny_backbone, randomize):
    backbone = tiny_backbone()
    return randomize(
        keras_encnet.EncNet(backbone, len(scenes.CLASSES), channels=8, auxiliary="none")
    )


def test_sums_equal_means_only_on_feature_maps_of_the_given_size(model):
    summed = image_sizes.with_sums(model, pixels=8 * 8)  # output stride 8
    images = np.random.default_rng(0).normal(size=(1, 128, 128, 3)).astype("float32")
    crop = images[:, :64, :64]
    expected, found = model(crop), summed(crop)
    for name, logits in expected.items():
        np.testing.assert_allclose(found[name], logits, rtol=1e-4, atol=1e-4)
    larger = np.abs(summed(images)["presence"] - model(images)["presence"])
    assert larger.max() > 0.01


def test_sums_require_mean_aggregation(tiny_backbone):
    paper = keras_encnet.EncNet(tiny_backbone(), 3, channels=8, variant="paper")
    for network in (paper, keras_encnet.FCN(tiny_backbone(), 3)):
        with pytest.raises(ValueError, match="codes are means"):
            image_sizes.with_sums(network, 64)


@pytest.mark.slow
def test_each_labeled_pixel_counts_once_at_every_size(model, data):
    split = folder.read_split(data, "test")
    labels = np.concatenate([image_files.read_mask(path).ravel() for path in split.mask_paths])
    expected = np.bincount(labels[labels != 255], minlength=model.classes)
    segmenter = keras_encnet.MultiScaleSegmenter(model, 52, 48, scales=(1.0,))
    for size in (0.01, 0.5, 1.7):
        for metric in (
            segmentation_scores.evaluate(model, split, factor=size)[0],
            segmentation_scores.evaluate_multi_scale(segmenter, split, factor=size),
        ):
            counted = np.asarray(metric.confusion_matrix).sum(1)
            np.testing.assert_array_equal(counted, expected)


@pytest.mark.slow
def test_command_writes_scores_and_a_table(model, data, tmp_path, monkeypatch, capsys):
    model.save(tmp_path / "best.keras")
    options = ["--data", str(data), "--sizes", "0.5", "1", "--every", "2", "--sums", "64"]
    options += ["--multi-scale", "--base-size", "52", "--crop-size", "48"]
    monkeypatch.setattr("sys.argv", ["image_sizes", str(tmp_path), *options])
    cli.run(image_sizes.main)
    found = read_json(tmp_path / "image-sizes-test" / "scores.json")
    assert found["images"] == 2
    models = [(result["size"], result["model"]) for result in found["results"]]
    assert models == [(s, a) for s in (0.5, 1) for a in ("unchanged", "sums", "multi-scale")]
    at_own_size = segmentation_scores.evaluate(
        model, image_sizes.every_nth(folder.read_split(data, "test"), 2)
    )[0].result()
    assert found["results"][3]["scores"]["mean_iou"] == pytest.approx(
        float(at_own_size["mean_iou"]), abs=1e-6
    )
    lines = (tmp_path / "image-sizes-test" / "table.md").read_text().splitlines()
    assert len(lines) == 2 + 6
    assert lines[2] in capsys.readouterr().out


def test_damaged_data_are_named_before_scoring(model, tmp_path):
    data = scenes.write(tmp_path / "scenes", train=1, val=1, test=2)
    path = data / "images" / "test_00001.png"
    path.write_bytes(path.read_bytes()[:-10])
    model.save(tmp_path / "best.keras")
    with pytest.raises(ValueError, match="test_00001: the image cannot be read"):
        image_sizes.main(tmp_path, str(data))
    assert not (tmp_path / "image-sizes-test").exists()


@pytest.mark.parametrize(("option", "value"), [("sizes", (0.0,)), ("every", 0), ("sums", 0)])
def test_invalid_options_raise(option, value, model, data, tmp_path):
    model.save(tmp_path / "best.keras")
    with pytest.raises(ValueError, match=str(np.ravel(value)[0])):
        image_sizes.main(tmp_path, str(data), **{option: value})
    assert not (tmp_path / "image-sizes-test").exists()
