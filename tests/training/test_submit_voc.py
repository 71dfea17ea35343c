"""The archive is what the server of PASCAL VOC asks for."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

import keras_encnet
from tests.training.datasets import layouts
from training import submit_voc
from training.input.image_files import decode_image


@pytest.fixture
def voc(tmp_path):
    layouts.voc2012(tmp_path)
    return tmp_path / "VOCdevkit/VOC2012"


def save(tiny_backbone, randomize, path, classes=21):
    model = randomize(keras_encnet.EncNet(tiny_backbone(), classes, channels=8))
    model.save(path)
    return model


@pytest.mark.parametrize("multi_scale", [False, True])
def test_the_archive_holds_a_mask_of_each_image_in_its_place(
    voc, tiny_backbone, randomize, tmp_path, multi_scale
):
    model = save(tiny_backbone, randomize, tmp_path / "best.keras")
    sizes = {"base_size": 40, "crop_size": 32} if multi_scale else {}
    options = {"multi_scale": multi_scale, **sizes}
    submit_voc.main(
        tmp_path, voc, tmp_path / "out.tgz", split="val", competition="comp5", **options
    )
    with tarfile.open(tmp_path / "out.tgz") as archive:
        assert archive.getnames() == ["results/VOC2012/Segmentation/comp5_val_cls/2007_000003.png"]
        picture = Image.open(io.BytesIO(archive.extractfile(archive.getnames()[0]).read()))
    assert picture.mode == "P"
    # The colors that VOC gives to aeroplane and tvmonitor.
    colors = np.reshape(picture.getpalette(), (-1, 3))
    assert colors[[1, 20]].tolist() == [[128, 0, 0], [0, 64, 128]]
    image = decode_image(str(voc / "JPEGImages/2007_000003.jpg")).numpy()
    if multi_scale:
        segmenter = keras_encnet.MultiScaleSegmenter(model, 40, 32)
        image = keras_encnet.preprocess_input(image, model.preprocessing)
        expected = segmenter(image).argmax(-1)
    else:
        expected = model.segment(image)
    np.testing.assert_array_equal(np.asarray(picture), expected)


def test_a_missing_image_is_named_before_anything_is_written(voc, tmp_path):
    (voc / "JPEGImages/2007_000002.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images of 'train' .*2007_000002.jpg"):
        submit_voc.main(tmp_path, voc, tmp_path / "out.tgz", split="train")
    assert not (tmp_path / "out.tgz").exists()


def test_sizes_of_windows_are_refused_without_multi_scale(voc, tmp_path):
    with pytest.raises(ValueError, match="`--crop-size` would do nothing.*Received: crop_size=0"):
        submit_voc.main(tmp_path, voc, tmp_path / "out.tgz", multi_scale=False, crop_size=0)


def test_a_model_of_other_classes_is_refused(voc, tiny_backbone, randomize, tmp_path):
    save(tiny_backbone, randomize, tmp_path / "best.keras", classes=20)
    with pytest.raises(ValueError, match="VOC has 21 classes.*a model of 20 classes"):
        submit_voc.main(tmp_path, voc, tmp_path / "out.tgz", split="val")
