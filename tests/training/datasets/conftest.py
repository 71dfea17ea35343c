"""Small archives in the layout of the published ones, and the folders prepared from them."""

import dataclasses
import hashlib
import shutil

import pytest

from tests.training.datasets import layouts
from training import prepare
from training.datasets import published
from training.datasets.ade20k import ade20k_dataset_builder as ade20k
from training.datasets.coco_voc import coco_voc_dataset_builder as coco_voc
from training.datasets.pascal_context import pascal_context_dataset_builder as pascal_context
from training.datasets.voc2012 import voc2012_dataset_builder as voc2012

# Module, writer of its layout, number of images, format and top folder of each archive.
DATASETS = {
    "ade20k": (
        ade20k,
        layouts.ade20k,
        {"train": 3, "validation": 2},
        {"data": ("zip", "ADEChallengeData2016")},
    ),
    "pascal_context": (
        pascal_context,
        layouts.pascal_context,
        {"train": 1, "validation": 2},
        {"voc": ("tar", "VOCdevkit"), "labels": ("gztar", "trainval")},
    ),
    "voc2012": (
        voc2012,
        layouts.voc2012,
        {"train": 2, "sbd": 3, "validation": 1},
        {"voc": ("tar", "VOCdevkit"), "sbd": ("gztar", "benchmark_RELEASE")},
    ),
    "coco_voc": (
        coco_voc,
        layouts.coco,
        {"train": 2, "validation": 2},
        {name: ("zip", name) for name in ("train2017", "val2017", "annotations")},
    ),
}


@pytest.fixture
def original(tmp_path, monkeypatch):
    """Writes the archives of a data set to `tmp_path / "originals"` and registers their hashes."""

    def write(name, damage=lambda tree: None, counts=()):
        module, layout, written, archives = DATASETS[name]
        tree, folder = tmp_path / "tree", tmp_path / "originals"
        tree.mkdir()
        folder.mkdir()
        layout(tree)
        damage(tree)
        hashed = {}
        for key, archive in module.Builder.ARCHIVES.items():
            kind, top = archives[key]
            made = shutil.make_archive(str(tmp_path / "archive"), kind, tree, top)
            path = shutil.move(made, folder / archive.name)
            digest = hashlib.sha1(path.read_bytes()).hexdigest()
            hashed[key] = dataclasses.replace(archive, algorithm="sha1", digest=digest)
        monkeypatch.setattr(module.Builder, "ARCHIVES", hashed)
        expected = {**written, **dict(counts)}
        monkeypatch.setattr(module.Builder, "COUNTS", expected)
        source = dataclasses.replace(published.SOURCES[name], counts=expected)
        monkeypatch.setitem(published.SOURCES, name, source)
        shutil.rmtree(tree)
        return folder

    return write


@pytest.fixture
def run(tmp_path):
    """Prepares a data set from its archives, and returns the folder."""

    def prepare_folder(name):
        output = tmp_path / "data" / name
        prepare.main(name, output, tmp_path / "tfds", tmp_path / "originals")
        return output

    return prepare_folder
