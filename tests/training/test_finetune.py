"""Tests of `training.finetune` and of the weights that a training starts from."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_encnet
from keras_encnet.backbones import ResNet
from tests.fixtures import SMALL_FCN
from training import finetune
from training.configs import SegmentationConfig
from training.configs.scenes import ScenesFCN
from training.datasets import scenes
from training.tasks import segmentation

SMALL = {**SMALL_FCN, "warmup_steps": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=4, val=1, test=1)


def test_each_stage_starts_from_the_previous_last_model(data, eager, tmp_path, monkeypatch):
    # With a learning rate of zero, a stage changes nothing but the moving statistics.
    stages = {
        "trainaug": ScenesFCN(data=str(data), **SMALL),
        "train": ScenesFCN(data=str(data), learning_rate=0.0, seed=1, **SMALL),
    }
    last = finetune.finetune(stages, tmp_path)
    assert last == tmp_path / "2_train" / "last.keras"
    recorded = json.loads((tmp_path / "2_train" / "config.json").read_text())
    assert recorded["start_from"] == str(tmp_path / "1_trainaug" / "last.keras")
    first = keras.models.load_model(tmp_path / "1_trainaug" / "last.keras")
    second = keras.models.load_model(last)
    for before, after in zip(first.trainable_weights, second.trainable_weights, strict=True):
        np.testing.assert_array_equal(before, after, err_msg=before.path)

    # Finished stages are skipped; a run of other options raises.
    monkeypatch.setattr(finetune, "train", None)
    assert finetune.finetune(stages, tmp_path) == last
    stages["train"] = dataclasses.replace(stages["train"], seed=2)
    with pytest.raises(FileExistsError, match="other options: seed=1"):
        finetune.finetune(stages, tmp_path)


@pytest.fixture
def stages(monkeypatch):
    """Records the stages of the command instead of training them."""
    requested = {}
    monkeypatch.setattr(finetune, "finetune", lambda stages, run_dir: requested.update(stages))
    return requested


def test_paper_stages_are_trainaug_then_train_at_a_tenth_of_the_rate(stages):
    finetune.main("voc2012_encnet101", "voc")
    requested = {
        name: (c.data, c.train_split, c.learning_rate, c.epochs) for name, c in stages.items()
    }
    assert requested == {
        "trainaug": ("voc", "trainaug", 0.001, 50),
        "train": ("voc", "train", 0.0001, 50),
    }
    assert stages["trainaug"].backbone_weights == "imagenet"


def test_coco_is_the_first_stage_if_given(stages):
    finetune.main(
        "voc2012_encnet101_official", "voc", coco="coco", start_from="x.keras", batch_size=8
    )
    assert [*stages] == ["coco", "trainaug", "train"]
    first = stages["coco"]
    assert (first.data, first.train_split, first.learning_rate) == ("coco", "train", 0.004)
    assert (first.start_from, first.backbone_weights, first.batch_size) == ("x.keras", None, 8)


def test_structure_of_the_official_code_requires_start_from(stages):
    with pytest.raises(ValueError, match="keras_encnet.pytorch.convert"):
        finetune.main("voc2012_encnet101_official", "voc")
    assert not stages


def test_start_from_a_bare_backbone(tiny_backbone, randomize, tmp_path, capsys):
    backbone = randomize(tiny_backbone())
    backbone.save(tmp_path / "backbone.keras")
    model = keras_encnet.EncNet(tiny_backbone(), 3, channels=8)
    segmentation.start_from(tmp_path / "backbone.keras", model)
    for name in ("stage1_conv", "stage4_conv"):
        expected = backbone.get_layer(name).kernel
        np.testing.assert_array_equal(model.get_layer(name).kernel, expected)
    assert "randomly: head_conv" in capsys.readouterr().err


def test_start_from_other_classes_copies_all_but_the_classifiers(
    tiny_backbone, randomize, tmp_path, capsys
):
    source = randomize(keras_encnet.EncNet(tiny_backbone(), 5, channels=8))
    source.save(tmp_path / "source.keras")
    model = keras_encnet.EncNet(tiny_backbone(), 3, channels=8)
    segmentation.start_from(tmp_path / "source.keras", model)
    codewords = [m.get_layer("context_encoding").codewords for m in (source, model)]
    np.testing.assert_array_equal(*codewords)
    random = capsys.readouterr().err.split("randomly: ")[1].strip().split(", ")
    assert sorted(random) == ["presence", "presence_stage3", "segmentation_logits"]


def test_start_from_another_backbone_or_normalization_raises(tiny_backbone, tmp_path):
    model = keras_encnet.FCN(tiny_backbone(), 3)
    keras_encnet.FCN(tiny_backbone(widths=(4, 6, 8, 12)), 3).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="with this backbone.*layers differ"):
        segmentation.start_from(tmp_path / "other.keras", model)
    keras_encnet.FCN(tiny_backbone(), 3, preprocessing="caffe").save(tmp_path / "caffe.keras")
    with pytest.raises(ValueError, match="normalized as 'caffe', for fcn .* 'torch'"):
        segmentation.start_from(tmp_path / "caffe.keras", model)


def test_start_from_a_bare_resnet_checks_its_normalization(tmp_path):
    def resnet(stride_on):
        return ResNet((1, 1, 1, 1), stride_on=stride_on, width_multiplier=0.125)

    resnet("3x3").save(tmp_path / "torchvision.keras")
    caffe = keras_encnet.FCN(resnet("1x1"), 3, preprocessing="caffe")
    with pytest.raises(ValueError, match="'torch', for fcn .* 'caffe'.*--stride-on 3x3"):
        segmentation.start_from(tmp_path / "torchvision.keras", caffe)
    torch = keras_encnet.FCN(resnet("3x3"), 3, preprocessing="torch")
    segmentation.start_from(tmp_path / "torchvision.keras", torch)


def test_start_from_disables_backbone_weights(tmp_path):
    options = {"blocks": (1, 1, 1, 1), "width_multiplier": 0.125, "channels": 8}
    scratch = SegmentationConfig(backbone_weights=None, **options)
    segmentation.build_model(scratch, "abc").save(tmp_path / "other.keras")
    # The default ImageNet weights do not exist for this backbone, so loading them would raise.
    started = SegmentationConfig(start_from=str(tmp_path / "other.keras"), **options)
    segmentation.build_model(started, "abc")
