"""Missing or damaged archives raise errors that name them, and nothing is written."""

import dataclasses
import functools
import hashlib
import http.server
import threading
import zipfile

import pytest

from tests.training.datasets import layouts
from training import prepare
from training.datasets.ade20k import ade20k_dataset_builder as ade20k
from training.datasets.pascal_context import pascal_context_dataset_builder as pascal_context


def test_unreachable_address_raises(tmp_path, monkeypatch):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/gone.zip"
        archive = dataclasses.replace(ade20k.Builder.ARCHIVES["data"], address=address)
        monkeypatch.setattr(ade20k.Builder, "ARCHIVES", {"data": archive})
        with pytest.raises(OSError, match="gone.zip.*--manual-dir"):
            prepare.main("ade20k", tmp_path / "out", tmp_path / "tfds")
        server.shutdown()
    assert not (tmp_path / "out").exists()


def test_occupied_output_raises_before_any_download(tmp_path, monkeypatch):
    monkeypatch.setattr(ade20k.Builder, "download_and_prepare", lambda *_, **__: pytest.fail("!"))
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="already contains something else"):
        prepare.main("ade20k", tmp_path, tmp_path / "tfds")


def test_archive_with_a_wrong_hash_raises(original, run, tmp_path):
    path = original("ade20k") / "ADEChallengeData2016.zip"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"ADEChallengeData2016.zip is not the published"):
        run("ade20k")
    assert not (tmp_path / "data").exists()


def test_damaged_archive_without_a_published_hash_raises(original, run):
    path = original("pascal_context") / "trainval.tar.gz"
    path.write_bytes(path.read_bytes()[:100])
    archives = pascal_context.Builder.ARCHIVES
    archives["labels"] = dataclasses.replace(archives["labels"], digest=None)
    with pytest.raises(ValueError, match=r"cannot be unpacked: .*trainval.tar.gz"):
        run("pascal_context")


def test_archive_with_other_contents_raises(original, run, tmp_path):
    path = original("ade20k") / "ADEChallengeData2016.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ADE20K_2021/readme.txt", "the full data set")
    digest = hashlib.sha1(path.read_bytes()).hexdigest()
    archives = ade20k.Builder.ARCHIVES
    archives["data"] = dataclasses.replace(archives["data"], digest=digest)
    with pytest.raises(FileNotFoundError, match="should contain the folder 'ADEChallengeData2016'"):
        run("ade20k")


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        (
            "ade20k",
            "ADEChallengeData2016/annotations/training/ADE_train_00000002.png",
            r"image ADE_train_00000002 has no mask",
        ),
        ("pascal_context", "trainval/2008_000003.mat", r"image 2008_000003 has no mask"),
        (
            "voc2012",
            "VOCdevkit/VOC2012/SegmentationClass/2007_000003.png",
            r"image 2007_000003 has no mask",
        ),
        (
            "voc2012",
            "benchmark_RELEASE/dataset/cls/2008_000005.mat",
            r"image 2008_000005 has no mask",
        ),
        (
            "voc2012",
            "VOCdevkit/VOC2012/JPEGImages/2008_000005.jpg",
            r"image is missing. Received: .*2008_000005.jpg",
        ),
        ("coco_voc", "val2017/000000000004.jpg", r"image is missing. .*000000000004.jpg"),
    ],
)
def test_missing_file_raises(original, run, tmp_path, name, missing, message):
    original(name, lambda tree: (tree / missing).unlink())
    with pytest.raises(FileNotFoundError, match=message):
        run(name)
    assert not (tmp_path / "data").exists()


def _small_png(path):
    layouts.png(path, layouts.filled(1, 2, size=(12, 16)))


def _unknown_id(path):
    layouts.png(path, layouts.filled(1, 151))


def _small_mat(path):
    ids = layouts.filled(1, 2, size=(17, 12)).astype("uint8")
    layouts.mat(path, GTcls={"Segmentation": ids})


def _large_label(path):
    labels = layouts.filled(1, 460, size=(20, 23)).astype("uint16")
    layouts.mat(path, LabelMap=labels)


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


ADE = "ADEChallengeData2016/{}/training/ADE_train_00000002.{}"


@pytest.mark.parametrize(
    ("name", "path", "damage", "message"),
    [
        ("ade20k", ADE.format("annotations", "png"), _small_png, "17x12 pixels, a mask of 16x12"),
        ("ade20k", ADE.format("annotations", "png"), _unknown_id, r"Received: \[151\]"),
        ("ade20k", ADE.format("images", "jpg"), _truncate, "decoded.*ADE_train_00000002.jpg"),
        ("ade20k", ADE.format("annotations", "png"), _truncate, "ADE_train_00000002"),
        (
            "voc2012",
            "benchmark_RELEASE/dataset/cls/2008_000005.mat",
            _small_mat,
            "image 2008_000005 and its mask must have the same size.*17x12 pixels, a mask of 12x17",
        ),
        (
            "voc2012",
            "benchmark_RELEASE/dataset/cls/2008_000005.mat",
            _truncate,
            "mask of 2008_000005 cannot be read",
        ),
        (
            "pascal_context",
            "trainval/2008_000003.mat",
            _large_label,
            "mask of 2008_000003.*459. Received: 460",
        ),
    ],
)
def test_damaged_file_raises(original, run, tmp_path, name, path, damage, message):
    original(name, lambda tree: damage(tree / path))
    with pytest.raises(ValueError, match=message):
        run(name)
    assert not (tmp_path / "data").exists()


def test_wrong_number_of_images_raises(original, run, tmp_path):
    original("ade20k", counts={"train": 20210})
    with pytest.raises(ValueError, match=r"'train' of ade20k/1.0.0 should have 20210 .* 3 images"):
        run("ade20k")
    assert not (tmp_path / "data").exists()
