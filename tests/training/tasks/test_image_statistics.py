"""Trainings on images other than RGB with 8 bits: channels and statistics are found in the data."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.fixtures import SMALL_ENCNET
from tests.training.folders import write_split
from training import evaluate, predict
from training.configs.folder import FolderEncNet50
from training.input.pixels import Pixels
from training.run.fit import train
from training.tasks.segmentation import Segmentation

SIZE = (32, 40)


def masks(rng, count):
    return [rng.integers(0, 2, SIZE, "uint8") for _ in range(count)]


@pytest.fixture
def data(tmp_path, rng):
    """Writes a data set whose images are those of a function of a mask."""

    def write(image_of, suffix=".png"):
        samples = {f"{i}": (None, mask) for i, mask in enumerate(masks(rng, 4))}
        for name in ("train", "val"):
            write_split(tmp_path, samples, ["road", "sky"], name)
        for stem, (_, mask) in samples.items():
            (tmp_path / "images" / f"{stem}.png").unlink()
            path, image = tmp_path / "images" / f"{stem}{suffix}", image_of(mask)
            np.save(path, image) if suffix == ".npy" else Image.fromarray(image).save(path)
        return tmp_path

    return write


def recipe(data, **options):
    return FolderEncNet50(
        data=str(data), val_split="train", backbone_weights=None, batch_size=2, **options
    )


def test_gray_images_have_one_channel_and_their_statistics(data):
    task = Segmentation(recipe(data(lambda mask: mask * 100 + 20)))
    found = task.config.images()
    assert found["input_shape"] == (None, None, 1)
    share = task.val_pixels[1] / task.val_pixels.sum()
    assert found["mean"] == (pytest.approx(20 + 100 * share, rel=1e-5),)
    assert found["std"] == (pytest.approx(100 * np.sqrt(share * (1 - share)), rel=1e-5),)
    assert task.train_split.pixels == task.val_split.pixels == Pixels(1)
    assert "1 channel (gray), normalized by mean" in task.plan()


def test_rgb_images_are_normalized_as_the_weights_expect(data):
    task = Segmentation(recipe(data(lambda mask: np.stack([mask * 9] * 3, -1))))
    assert task.config.images() == {"input_shape": (None, None, 3), "mean": None, "std": None}
    assert "3 channels (RGB), normalized as the weights expect" in task.plan()


def test_an_alpha_channel_with_one_value_is_left_out(data):
    def opaque(mask):
        return np.stack([mask * 9] * 3 + [np.full_like(mask, 255)], -1)

    task = Segmentation(recipe(data(opaque)))
    assert task.config.images()["input_shape"] == (None, None, 3)
    assert task.train_split.pixels == task.val_split.pixels == Pixels(3)
    assert Segmentation(recipe(task.config.data, image_channels=4)).config.image_channels == 4


def test_images_with_fewer_channels_than_the_option_are_named(data):
    with pytest.raises(ValueError, match=r"(?s)1 channel, but .* 4.*Received: path=.*0\.png"):
        Segmentation(recipe(data(lambda mask: mask), image_channels=4))


def test_given_statistics_are_kept(data):
    given = {"mean": (1.0, 2.0), "std": (3.0, 4.0)}
    root = data(lambda mask: np.stack([mask] * 2, -1) * np.uint16(300), ".npy")
    found = Segmentation(recipe(root, **given)).config.images()
    assert found == {"input_shape": (None, None, 2), **given}


def test_a_constant_channel_gets_a_deviation_of_1_and_a_warning(data, capsys):
    root = data(lambda mask: np.stack([mask, mask * 0 + 7], -1).astype("float32"), ".npy")
    assert Segmentation(recipe(root)).config.std[1] == 1
    assert "the channels [1] (from 0) have one value" in capsys.readouterr().err


def multispectral(mask):
    return (mask[..., None] * np.arange(1, 7) * 400 + 1000).astype("uint16")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image_of", "suffix", "channels"),
    [(multispectral, ".npy", 6), (lambda mask: mask * 100, ".png", 1)],
    ids=["arrays", "gray"],
)
def test_trained_models_evaluate_and_predict_such_images(
    data, tmp_path, image_of, suffix, channels
):
    root, run = data(image_of, suffix), tmp_path / "run"
    options = SMALL_ENCNET | {"batch_size": 2}
    config = FolderEncNet50(
        data=str(root),
        val_split="train",
        backbone_weights=None,
        blocks=(1, 1, 1, 1),
        min_epoch_steps=2,
        **options,
    )
    model, _ = train(config, run)
    assert model.channels == channels
    recorded = json.loads((run / "config.json").read_text())
    assert (recorded["image_channels"], len(recorded["std"])) == (channels, channels)
    evaluate.main(run, split="train")
    predict.main(run, (root / "images",), tmp_path / "out", explain=True)
    assert (tmp_path / "out" / "0_overlay.png").exists()
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    if channels == 6:
        with pytest.raises(ValueError, match="1 of 1 images failed"):
            predict.main(run, (tmp_path / "photo.png",), tmp_path / "out")
        errors = json.loads((tmp_path / "out" / "predictions.json").read_text())
        assert "3 channels, but" in errors[str(tmp_path / "photo.png")]["error"]
