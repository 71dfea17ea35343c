"""The splits that training and evaluation use."""

import numpy as np
import pytest

from tests.training.folders import write_split
from training.configs import SegmentationConfig
from training.tasks.segmentation import Segmentation
from training.tasks.segmentation_scores import split_of

SAMPLE = (None, np.array([[0, 1]], "uint8"))


@pytest.fixture
def data(tmp_path):
    """Writes a training split of twelve images, and no others."""
    write_split(tmp_path, {f"s{i}": SAMPLE for i in range(12)}, 2)
    return tmp_path


def test_a_share_of_the_training_images_can_be_the_validation_images(data):
    config = SegmentationConfig(data=str(data), val_share=0.25, batch_size=2)
    config.check()
    task = Segmentation(config)
    assert 0 < len(task.val_split) < len(task.train_split)
    stems = {*task.train_split.stems, *task.val_split.stems}
    assert stems == {f"s{i}" for i in range(12)}
    assert not set(task.train_split.stems) & set(task.val_split.stems)
    # Evaluation of the run finds the same images.
    run = {"train_split": "train", "val_split": "val", "val_share": 0.25}
    assert split_of(run, "val") == task.val_split.name == "train[25%]"
    assert split_of(run, "test") == "test"
    assert split_of({}, "val") == "val"


def test_a_share_and_a_validation_split_exclude_each_other():
    with pytest.raises(ValueError, match="`--val-split` has no effect.*Received: val_split='dev'"):
        SegmentationConfig(val_share=0.2, val_split="dev").check()
    with pytest.raises(ValueError, match="`--val-share` must be between 0 and 1.*val_share=20"):
        SegmentationConfig(val_share=20).check()


def test_training_images_as_validation_images_are_refused_unless_they_are_named(data, capsys):
    write_split(data, {f"s{i}": SAMPLE for i in range(12)}, 2, name="val")
    config = {"data": str(data), "batch_size": 2}
    with pytest.raises(ValueError, match="12 of the 12 images.*--val-share.*`--val-split train`"):
        Segmentation(SegmentationConfig(**config))
    Segmentation(SegmentationConfig(**config, val_split="train"))
    assert capsys.readouterr().err == ""
    write_split(data, {"s0": SAMPLE, "other": SAMPLE}, 2, name="val")
    Segmentation(SegmentationConfig(**config))
    assert "Warning: 1 of the 2 images" in capsys.readouterr().err
