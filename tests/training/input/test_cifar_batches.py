"""Batches of CIFAR: every image once per epoch, augmented as in the official code, resumable."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from training.datasets import cifar
from training.input import cifar_batches

CLASSES = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())


@pytest.fixture
def split(rng):
    # No black pixel, so that padding and image can be distinguished.
    images = rng.integers(1, 256, (20, 32, 32, 3)).astype("uint8")
    return cifar.Split("train", images, np.arange(20, dtype="int32"), tuple("abcdefghijklmnopqrst"))


def batches(split, count, **options):
    options = {"batch_size": 6, "seed": 3, **options}
    found = cifar_batches.train_batches(split, **options).take(count)
    return [(images, labels) for images, labels in found.as_numpy_iterator()]


def test_epochs_have_each_image_at_most_once_in_different_orders(split):
    labels = [labels for _, labels in batches(split, 6)]
    first, second = np.concatenate(labels[:3]), np.concatenate(labels[3:])
    assert len(set(first)) == len(set(second)) == 18
    assert list(first) != list(second)


@pytest.mark.parametrize("first_step", [1, 4])
def test_first_step_skips_the_batches_before_it(split, first_step):
    for (images, labels), (x, y) in zip(
        batches(split, 6)[first_step:], batches(split, 6, first_step=first_step), strict=False
    ):
        np.testing.assert_array_equal(images, x)
        np.testing.assert_array_equal(labels, y)


def test_seeds_give_different_batches(split):
    assert list(batches(split, 1)[0][1]) != list(batches(split, 1, seed=4)[0][1])


def test_without_padding_and_flip_images_are_unchanged(split):
    for images, labels in batches(split, 3, padding=0, flip=False):
        np.testing.assert_array_equal(images, split.images[labels])


def test_crops_cover_all_positions_and_half_are_flipped(split):
    image = split.images[:1].repeat(2000, axis=0)
    uniform = tf.random.stateless_uniform((3, 2000), (1, 2))
    crops = cifar_batches.pad_flip_crop(tf.constant(image), 2, True, uniform).numpy()
    padded = np.pad(image[0], [(2, 2), (2, 2), (0, 0)])
    positions = {}
    for flipped in (False, True):
        for top in range(5):
            for left in range(5):
                cut = padded[top : top + 32, left : left + 32]
                positions[(cut[:, ::-1] if flipped else cut).tobytes()] = (flipped, top, left)
    found = [positions[crop.tobytes()] for crop in crops]  # a KeyError would mean any other crop
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 50
    assert counts.min() > 15  # of 40
    assert 900 < sum(flipped for flipped, *_ in found) < 1100


def test_all_images_are_evaluated_once_in_order(split, monkeypatch):
    monkeypatch.setattr(cifar_batches, "EVALUATION_BATCH", 7)
    found = list(cifar_batches.all_images(split).as_numpy_iterator())
    labels = np.concatenate([labels for _, labels in found])
    np.testing.assert_array_equal(labels, split.labels)
    images = np.concatenate([images for images, _ in found])
    np.testing.assert_array_equal(images, split.images)


@pytest.mark.parametrize(
    "option", [{"padding": -1}, {"first_step": -1}, {"batch_size": 21}, {"batch_size": 0}]
)
def test_numbers_out_of_range_raise(split, option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        batches(split, 1, **option)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """CIFAR-10 with 20 and 4 images, in the layout of its archive, prepared by TFDS's builder."""
    root = tmp_path / "download" / "cifar-10-batches-bin"
    root.mkdir(parents=True)
    (root / "batches.meta.txt").write_text("\n".join(CLASSES))
    draw = np.random.default_rng(0)
    records = {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        records[name] = draw.integers(0, 256, (4, 1 + 3072)).astype("uint8")
        records[name][:, 0] %= 10
        records[name].tofile(root / f"{name}.bin")
    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", lambda self, url: root.parent)
    tfds.builder("cifar10", data_dir=tmp_path / "data").download_and_prepare()
    return tmp_path / "data", records["test_batch"]


def test_reading_order_is_stable(prepared):
    data_dir, test_batch = prepared
    split, again = (cifar.read_split("cifar10", "test", data_dir) for _ in range(2))
    assert split.images.shape == (4, 32, 32, 3)
    assert split.class_names == CLASSES
    np.testing.assert_array_equal(split.images, again.images)
    np.testing.assert_array_equal(split.labels, again.labels)
    pixels = test_batch[:, 1:].reshape(4, 3, 32, 32).transpose(0, 2, 3, 1)
    wanted = {(int(r[0]), image.tobytes()) for r, image in zip(test_batch, pixels, strict=True)}
    assert {
        (int(y), x.tobytes()) for x, y in zip(split.images, split.labels, strict=True)
    } == wanted
    assert len(cifar.read_split("cifar10", "train[:25%]", data_dir)) == 5


def test_unknown_data_set_raises():
    with pytest.raises(ValueError, match="data='mnist'"):
        cifar.read_split("mnist", "train")
