"""Archives in the published layouts become folders that training reads."""

import dataclasses
import functools
import http.server
import json
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from keras_encnet import labels
from tests.training.datasets import layouts
from training import prepare
from training.datasets import published, scenes
from training.datasets.ade20k import ade20k_dataset_builder as ade20k
from training.datasets.pascal_context import pascal_context_dataset_builder as pascal_context
from training.datasets.voc2012 import voc2012_dataset_builder as voc2012
from training.input import folder, image_files, split_lists
from training.input.folder_check import check_split


def masks(root, split):
    return [image_files.read_mask(path) for path in folder.read_split(root, split).mask_paths]


def test_ade20k_classes_are_shifted_and_other_is_ignored(original, run):
    original("ade20k")
    root = run("ade20k")
    split = folder.read_split(root, "train")
    assert split.stems == ("ADE_train_00000001", "ADE_train_00000002", "ADE_train_00000003")
    assert split.class_names == tuple(labels.ADE20K)
    assert folder.read_split(root, "val").stems == ("ADE_val_00000001", "ADE_val_00000002")
    expected = layouts.filled(255, *range(150))
    for mask in masks(root, "train+val"):
        np.testing.assert_array_equal(mask, expected)


def test_images_keep_their_bytes(original, run, tmp_path):
    original("ade20k")
    image = folder.read_split(run("ade20k"), "train").image_paths[0]
    layouts.jpeg(tmp_path / "again.jpg", seed=1)
    assert image.read_bytes() == (tmp_path / "again.jpg").read_bytes()


def test_pascal_context_keeps_59_labels(original, run):
    original("pascal_context")
    root = run("pascal_context")
    assert len(folder.read_classes(root)) == 59
    assert folder.read_split(root, "train").stems == ("2008_000002",)
    (mask,) = masks(root, "train")
    mask = mask.ravel()[:460]  # indexed by the label in the file
    known = {0: 255, 1: 255, 2: 0, 9: 1, 284: 36, 427: 54, 454: 57, 458: 58, 459: 255}
    assert {label: mask[label] for label in known} == known
    names = folder.read_classes(root)
    assert [names[mask[label]] for label in (2, 284, 427, 454, 458)] == [
        "aeroplane",
        "person",
        "tvmonitor",
        "window",
        "wood",
    ]
    assert np.unique(mask).tolist() == [*range(59), 255]
    assert (mask != 255).sum() == 59


def test_voc2012_training_splits_exclude_validation_images(original, run):
    original("voc2012")
    root = run("voc2012")
    assert folder.read_split(root, "train").stems == ("2007_000001", "2007_000002")
    assert folder.read_split(root, "val").stems == ("2007_000003",)
    trainaug = folder.read_split(root, "trainaug")
    assert trainaug.stems == folder.read_split(root, "train+sbd").stems
    assert len(trainaug) == 5
    assert not set(trainaug.stems) & set(folder.read_split(root, "val").stems)
    # VOC's own masks have ignored borders, those of SBD do not.
    for split, has_borders in (("train", True), ("sbd", False), ("val", True)):
        for mask in masks(root, split):
            expected = (
                layouts.filled(*range(21), 255) if has_borders else layouts.filled(*range(21))
            )
            np.testing.assert_array_equal(mask, expected)


def test_coco_categories_become_voc_classes(original, run):
    original("coco_voc")
    root = run("coco_voc")
    # A bench is not a class of VOC, and the cat is too small.
    assert folder.read_split(root, "train").stems == ("000000000001", "000000000004")
    mask, crowd = masks(root, "train")
    person, dog = map([*labels.VOC].index, ("person", "dog"))
    assert mask[30, 20] == person
    assert mask[30, 40] == person  # the dog overlaps here
    assert mask[30, 55] == dog
    assert mask[5, 5] == 0
    assert np.unique(mask).tolist() == [0, dog, person]
    assert (crowd == person).sum() == 2048
    assert (crowd[:, 16:48] == person).all()


def test_cityscapes_ids_become_19_classes(tmp_path, monkeypatch):
    (tmp_path / "tree").mkdir()
    (tmp_path / "originals").mkdir()
    layouts.cityscapes(tmp_path / "tree")
    for name, top in (
        ("leftImg8bit_trainvaltest", "leftImg8bit"),
        ("gtFine_trainvaltest", "gtFine"),
    ):
        shutil.make_archive(str(tmp_path / "originals" / name), "zip", tmp_path / "tree", top)
    source = dataclasses.replace(
        published.SOURCES["cityscapes"], counts={"train": 1, "validation": 1}
    )
    monkeypatch.setitem(published.SOURCES, "cityscapes", source)
    root = tmp_path / "cityscapes"
    prepare.main("cityscapes", root, tmp_path / "tfds", tmp_path / "originals")
    split = folder.read_split(root, "train")
    assert split.stems == ("aachen_000000_000019",)
    assert split.image_paths[0].suffix == ".png"
    assert split_lists.split_names(root) == ["train", "val"]  # the masks of test are not public
    ids = masks(root, "val")[0].ravel()[:34]
    assert split.class_names[ids[7]] == "road"
    assert split.class_names[ids[26]] == "car"
    assert split.class_names[ids[33]] == "bicycle"
    assert (ids != 255).sum() == 19


def test_cityscapes_without_archives_raises_with_instructions(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="Manual directory"):
        prepare.main("cityscapes", tmp_path / "out", tmp_path / "tfds", tmp_path / "empty")
    assert "cityscapes-dataset.com" in capsys.readouterr().out


def test_missing_manual_folder_raises_before_any_download(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist. Received: manual_dir=.*nowhere"):
        prepare.main("ade20k", tmp_path / "out", tmp_path / "tfds", tmp_path / "nowhere")


def test_prepared_folders_pass_the_data_check(original, run):
    original("voc2012")
    root = run("voc2012")
    for split in ("trainaug", "val"):
        check_split(folder.read_split(root, split)).raise_if_bad()


def test_unpacked_archive_in_the_manual_folder_is_used(original, run, tmp_path):
    archives = original("ade20k")
    shutil.unpack_archive(archives / "ADEChallengeData2016.zip", archives)
    (archives / "ADEChallengeData2016.zip").write_bytes(b"not read")
    assert len(folder.read_split(run("ade20k"), "train")) == 3


def test_archives_missing_from_the_manual_folder_are_downloaded(original, tmp_path, monkeypatch):
    archives = original("ade20k")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(archives))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        archive = ade20k.Builder.ARCHIVES["data"]
        address = f"http://127.0.0.1:{server.server_port}/{archive.name}"
        downloaded = {"data": dataclasses.replace(archive, address=address)}
        monkeypatch.setattr(ade20k.Builder, "ARCHIVES", downloaded)
        prepare.main("ade20k", tmp_path / "out", tmp_path / "tfds")
        server.shutdown()
    assert len(folder.read_split(tmp_path / "out", "train+val")) == 5


def test_a_prepared_folder_is_reused_and_other_folders_are_not_overwritten(original, run, tmp_path):
    original("ade20k")
    root = run("ade20k")
    before = (root / "train.txt").stat().st_mtime_ns
    assert run("ade20k") == root
    assert (root / "train.txt").stat().st_mtime_ns == before
    record = json.loads((root / "dataset.json").read_text())
    assert record == {"dataset": "ade20k/1.0.0", "images": {"train": 3, "validation": 2}}
    (root / "dataset.json").write_text("{}")
    with pytest.raises(FileExistsError, match="something else"):
        run("ade20k")


def test_scenes_are_generated(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(scenes.write.__kwdefaults__, "train", 4)
    monkeypatch.setitem(scenes.write.__kwdefaults__, "val", 1)
    monkeypatch.setitem(scenes.write.__kwdefaults__, "test", 1)
    prepare.main("scenes", tmp_path / "scenes")
    assert str(tmp_path / "scenes") in capsys.readouterr().out
    assert len(folder.read_split(tmp_path / "scenes", "train+val+test")) == 6


def test_published_numbers_of_images_and_classes():
    assert ade20k.Builder.COUNTS == {"train": 20210, "validation": 2000}
    assert sum(pascal_context.Builder.COUNTS.values()) == 10103
    counts = voc2012.Builder.COUNTS
    assert counts["train"] + counts["sbd"] == 10582
    assert [len(source.class_names) for source in published.SOURCES.values()] == [
        150,
        59,
        21,
        21,
        19,
    ]


def test_grayscale_images_are_kept(original, run):
    def gray(tree):
        path = tree / "ADEChallengeData2016/images/training/ADE_train_00000002.jpg"
        Image.open(path).convert("L").save(path)

    original("ade20k", gray)
    split = folder.read_split(run("ade20k"), "train")
    check_split(split).raise_if_bad()
    assert Image.open(split.image_paths[1]).mode == "L"
