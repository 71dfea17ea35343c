"""Tests of the archive for the evaluation server of PASCAL VOC."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

import keras_encnet
from tests.training.datasets import layouts
from training import submit_voc
from training.input.image_files import decode_image
from training.tasks.multi_scale import MultiScaleOptions


@pytest.fixture
def voc(tmp_path):
    layouts.voc2012(tmp_path)
    return tmp_path / "VOCdevkit/VOC2012"


def save(tiny_backbone, randomize, path, classes=21):
    model = randomize(keras_encnet.EncNet(tiny_backbone(), classes, channels=8))
    model.save(path)
    return model


@pytest.mark.parametrize("multi_scale", [False, True])
def test_archive_has_one_mask_per_image(voc, tiny_backbone, randomize, tmp_path, multi_scale):
    model = save(tiny_backbone, randomize, tmp_path / "best.keras")
    sizes = {"base_size": 40, "crop_size": 32} if multi_scale else {}
    options = MultiScaleOptions(multi_scale, **sizes)
    archive = tmp_path / "out.tgz"
    submit_voc.main(tmp_path, voc, archive, split="val", competition="comp5", multi_scale=options)
    with tarfile.open(tmp_path / "out.tgz") as archive:
        assert archive.getnames() == ["results/VOC2012/Segmentation/comp5_val_cls/2007_000003.png"]
        picture = Image.open(io.BytesIO(archive.extractfile(archive.getnames()[0]).read()))
    assert picture.mode == "P"
    # VOC's colors of aeroplane and tvmonitor.
    colors = np.reshape(picture.getpalette(), (-1, 3))
    assert colors[[1, 20]].tolist() == [[128, 0, 0], [0, 64, 128]]
    image = decode_image(str(voc / "JPEGImages/2007_000003.jpg")).numpy()
    if multi_scale:
        segmenter = keras_encnet.MultiScaleSegmenter(model, 40, 32)
        expected = segmenter(image).argmax(-1)
    else:
        expected = model.segment(image)
    np.testing.assert_array_equal(np.asarray(picture), expected)


def test_missing_image_raises_before_anything_is_written(voc, tmp_path):
    (voc / "JPEGImages/2007_000002.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images of 'train' .*2007_000002.jpg"):
        submit_voc.main(tmp_path, voc, tmp_path / "out.tgz", split="train")
    assert not (tmp_path / "out.tgz").exists()


def test_wrong_number_of_classes_raises(voc, tiny_backbone, randomize, tmp_path):
    save(tiny_backbone, randomize, tmp_path / "best.keras", classes=20)
    with pytest.raises(ValueError, match="VOC has 21 classes.*with 20 classes"):
        submit_voc.main(tmp_path, voc, tmp_path / "out.tgz", split="val")
