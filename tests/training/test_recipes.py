"""The paper's recipes, in small, all the way: train, go on, score in multi-scale, export."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.export import export_saved_model
from training import evaluate, train
from training.configs import RECIPES
from training.tasks import segmentation, task_of

PAPER = [name for name in RECIPES if name.startswith(("pascal", "ade", "voc", "city"))]
CLASSES = ("sky", "road", "car")
SMALL = {
    "blocks": (1, 1, 1, 1),
    "width_multiplier": 0.0625,
    "channels": 8,
    "backbone_weights": None,
    "crop_size": (32, 32),
    "base_size": 48,
    "batch_size": 2,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of four images, with the lists that any of the recipes asks for."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for i in range(4):
        image = rng.integers(0, 256, (40, 56, 3), "uint8")
        mask = np.where(rng.random((40, 56)) < 0.1, 255, rng.integers(0, 3, (40, 56)))
        Image.fromarray(image).save(root / "images" / f"{i}.jpg")
        Image.fromarray(mask.astype("uint8")).save(root / "labels" / f"{i}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES))
    for name, stems in {"train": "01", "trainaug": "012", "val": "3"}.items():
        (root / f"{name}.txt").write_text("\n".join(stems))
    return root


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    """Saves the backbones that recipes start from, one a structure."""
    folder = tmp_path_factory.mktemp("backbones")

    def save(config):
        model = segmentation.build_model(dataclasses.replace(config, head="fcn"), CLASSES)
        path = folder / f"{config.variant}-{config.backbone}.keras"
        backbone = keras.Model(
            model.input, model.get_layer(model.backbone_layers[-1]).output, name="backbone"
        )
        backbone.save(path)
        return str(path)

    return save


class Interrupt(keras.callbacks.Callback):
    """Stops a training before its second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def small(name, data, **changes):
    """Returns a recipe in small; `start_from` is left out."""
    recipe = RECIPES[name]
    required = [f.name for f in dataclasses.fields(recipe) if f.default is dataclasses.MISSING]
    options = dict.fromkeys(required) | SMALL | {"data": str(data)} | changes
    return recipe(**options), "start_from" in required


def kind(name):
    """Returns all that tells small recipes apart, but for data, rate, and what they start from.

    ResNet-50 and 101 are one, as all have one block a stage.
    """
    config, _ = small(name, "data")
    left_out = {"train_split": None, "learning_rate": 0.0, "backbone": "resnet50"}
    return dataclasses.astuple(dataclasses.replace(config, **left_out))


# One of each kind.
ALL_THE_WAY = {kind(name): name for name in reversed(PAPER)}


@pytest.mark.parametrize("name", sorted(ALL_THE_WAY.values()))
def test_a_recipe_of_each_kind_runs_from_end_to_end(name, data, backbones, tmp_path, monkeypatch):
    config, starts_from = small(name, data)
    if starts_from:
        config = dataclasses.replace(config, start_from=backbones(config))
    run_dir = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(segmentation.Segmentation, "callbacks", lambda *unused: [Interrupt()])
        with pytest.raises(KeyboardInterrupt):
            train.train(config, run_dir)
    model, history = train.train(config, run_dir)
    assert len(history["val_mean_iou"]) == 2
    assert np.isfinite(history["loss"]).all()

    sizes = {"multi_scale": True, "base_size": 48, "crop_size": 32}
    evaluate.main(run_dir, data=str(data), split="val", **sizes)
    scores = json.loads((run_dir / "evaluation-val-multi-scale/scores.json").read_text())
    assert 0 <= scores["mean_iou"] <= 1
    assert set(scores["iou"]) == set(CLASSES)

    export_saved_model(model, tmp_path / "export")
    served = tf.saved_model.load(tmp_path / "export").signatures["tensors"]
    image = np.asarray(Image.open(data / "images/3.jpg"))
    answer = served(images=tf.constant(image[None], tf.float32))["classes"][0]
    np.testing.assert_array_equal(answer, model.segment(image))


@pytest.mark.parametrize("name", PAPER)
def test_a_recipe_learns_from_crops_of_its_own_size(name, data):
    sizes = {field: getattr(RECIPES[name], field) for field in ("crop_size", "base_size", "epochs")}
    config, _ = small(name, data, **sizes)
    task = task_of(config)
    model = task.build_model()
    optimizer = train.optimizer(config, task.steps_per_epoch * config.epochs)
    model.compile(optimizer, run_eagerly=True, **task.objectives(model))
    images, masks = next(iter(task.train_batches(model)))
    assert images.shape == (2, *config.crop_size, 3)
    before = [weight.numpy() for weight in model.trainable_weights]
    assert np.isfinite(model.train_on_batch(images, masks)[0])
    after = [weight.numpy() for weight in model.trainable_weights]
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


def test_every_recipe_of_the_paper_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    stages = ("_coco", "_aug")  # which are parts of a row
    missing = [name for name in PAPER if name not in page and not any(s in name for s in stages)]
    assert not missing
