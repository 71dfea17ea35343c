"""Tests of the networks and initial weights of segmentation tasks."""

import numpy as np
import pytest

import keras_encnet
from keras_encnet.backbones import ResNet
from training.configs import SegmentationConfig
from training.tasks import segmentation


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
    def resnet(stride_on, **options):
        return ResNet((1, 1, 1, 1), stride_on=stride_on, width_multiplier=0.125, **options)

    resnet("3x3").save(tmp_path / "torchvision.keras")
    caffe = keras_encnet.FCN(resnet("1x1"), 3, preprocessing="caffe")
    with pytest.raises(ValueError, match="'torch', for fcn .* 'caffe'.*--stride-on 3x3"):
        segmentation.start_from(tmp_path / "torchvision.keras", caffe)
    torch = keras_encnet.FCN(resnet("3x3"), 3, preprocessing="torch")
    segmentation.start_from(tmp_path / "torchvision.keras", torch)
    resnet("3x3", preprocessing="tf").save(tmp_path / "raw.keras")
    with pytest.raises(ValueError, match="normalized as 'tf', for fcn .* 'torch'"):
        segmentation.start_from(tmp_path / "raw.keras", torch)


@pytest.mark.slow
def test_start_from_disables_backbone_weights(tmp_path):
    options = {"blocks": (1, 1, 1, 1), "width_multiplier": 0.125, "channels": 8}
    scratch = SegmentationConfig(backbone_weights=None, **options)
    segmentation.build_model(scratch, "abc").save(tmp_path / "other.keras")
    # The default ImageNet weights do not exist for this backbone, so loading them would raise.
    started = SegmentationConfig(start_from=str(tmp_path / "other.keras"), **options)
    segmentation.build_model(started, "abc")


def test_network_of_keras_applications_gets_its_weights_and_the_options_of_the_head(
    tiny_backbone, monkeypatch
):
    requested = []

    def build(*arguments, input_shape, mean, std):
        requested.append((*arguments, input_shape, mean, std))
        return tiny_backbone(input_shape[-1])

    monkeypatch.setattr(segmentation, "from_keras_applications", build)
    images = {"image_channels": 2, "mean": (1.0, 2.0), "std": (3.0, 4.0)}
    config = SegmentationConfig(
        backbone="xception", backbone_weights="x.weights.h5", channels=8, **images
    )
    model = segmentation.build_model(config, "abc")
    assert requested == [("xception", "x.weights.h5", (None, None, 2), (1.0, 2.0), (3.0, 4.0))]
    assert model.get_layer("head_conv").filters == 8
