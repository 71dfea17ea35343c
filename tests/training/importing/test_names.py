"""Pairing of images and masks in the folders of public data sets."""

import pytest

from training.importing.names import divide, pair, stems

# Two pairs of each; "+" files belong to no image.
LAYOUTS = {
    "imgs/{}_img.jpg gts/{}_gt.png": ("00000", "00001"),
    "images/{}.png annotations/{}_19LabelTrainIds.png": ("2018_0091", "2018_0092"),
    "images/10k/train/{}.jpg labels/sem_seg/masks/train/{}.png "
    "+labels/sem_seg/colormaps/train/{}.png": (
        "0004a4c0-d4dff0ad",
        "00054602-3bf57337",
    ),
    "img_dir/{}.png ann_dir/{}_instance_color_RGB.png": ("P0000_0_896", "P0000_896_1792"),
    "val_images/{}.jpg val_segmentations/{}.png": ("86_185913", "87_185914"),
    "701_StillsRaw_full/{}.png LabeledApproved_full/{}_L.png": ("0001TP_006690", "0001TP_006720"),
    "train/{}.jpg train_masks/{}_mask.gif": ("00087a6bd4dc_01", "00087a6bd4dc_02"),
    "training/images/{}_training.tif training/1st_manual/{}_manual1.gif": ("21", "22"),
    "Training_Input/{}.jpg Training_GroundTruth/{}_segmentation.png": ("ISIC_00", "ISIC_01"),
    "benign/{}.png benign/{}_mask.png": ("benign (1)", "benign (2)"),
    "train/{}_sat.jpg train/{}_mask.png": ("119", "120"),
    "segmentation/images/{}.jpg segmentation/masks/{}.png": ("a", "b"),
    "{}/Images/0.png {}/Labels/0.png": ("seq1", "seq2"),
    "train/{}/1.jpg train_mask/{}/1.png": ("a", "b"),
    "leftImg8bit/val/{0}/{0}_0_leftImg8bit.png gtFine/val/{0}/{0}_0_gtFine_labelIds.png "
    "+gtFine/val/{0}/{0}_0_gtFine_color.png +gtFine/val/{0}/{0}_0_gtFine_instanceIds.png": (
        "ulm",
        "bonn",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_and_masks_of_public_data_sets_are_paired(layout):
    image, mask, *others = layout.split(" ")
    names = LAYOUTS[layout]
    files = [path.lstrip("+").format(name) for name in names for path in (image, mask, *others)]
    assert pair(*divide(files)) == {image.format(name): mask.format(name) for name in names}


@pytest.mark.parametrize("names", [("1", "01", "11"), ("1-1", "11", "1_1")])
def test_similar_numbers_are_told_apart(names):
    images, masks = ([f"{folder}/{name}.png" for name in names] for folder in ("images", "masks"))
    assert pair(images, masks) == dict(zip(images, masks, strict=True))


def test_names_that_differ_in_case_are_told_apart():
    assert pair(["A.jpg", "a.jpg"], ["gt/a.png", "gt/A.png"]) == {
        "A.jpg": "gt/A.png",
        "a.jpg": "gt/a.png",
    }


def test_nothing_is_paired_across_splits_or_if_several_files_fit():
    assert pair(["images/train/a.jpg"], ["masks/val/a.png"]) == {}
    assert pair(["x/a.jpg", "y/a.jpg"], ["masks/a.png"]) == {}
    assert pair(["a.jpg"], ["x/masks/a.png", "y/masks/a.png"]) == {}


def test_stems_are_distinct():
    paths = ["images/a.jpg", "photos/a.jpg", "images/a b.jpg", "images/a  b.jpg"]
    assert len(set(stems(paths))) == 4
