"""Every recipe, in small, all the way: train, go on, score in multi-scale, export."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet import labels
from keras_encnet.export import export_saved_model
from training import evaluate
from training.configs import RECIPES, SegmentationConfig
from training.datasets import scenes
from training.run import fit
from training.tasks import segmentation, segmentation_scores, task_of
from training.tasks.segmentation_scores import SegmentationScoring

# Those of segmentation; tests/training/test_cifar_runs.py has the others.
NAMES = [name for name, recipe in RECIPES.items() if issubclass(recipe, SegmentationConfig)]
PAPER = [name for name in NAMES if name.startswith(("pascal", "ade", "voc", "city"))]
# By how the names of recipes begin; MSRC-21 has as many as VOC.
CLASSES = {
    "scenes": scenes.CLASSES,
    "folder": ("sky", "road", "car"),
    "msrc21": labels.VOC,
    "pascal": labels.PASCAL_CONTEXT,
    "ade20k": labels.ADE20K,
    "voc2012": labels.VOC,
    "cityscapes": labels.CITYSCAPES,
}
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
def datasets(tmp_path_factory):
    """Returns a function from a recipe's name to a data set with its number of classes.

    It has four images, and the lists that any of the recipes asks for.
    """
    folder = tmp_path_factory.mktemp("data")

    def write(name):
        classes = CLASSES[name.split("_")[0]]
        root = folder / str(len(classes))
        if root.exists():
            return root
        rng = np.random.default_rng(0)
        for part in ("images", "labels"):
            (root / part).mkdir(parents=True)
        for i in range(4):
            image = rng.integers(0, 256, (40, 56, 3), "uint8")
            mask = rng.integers(0, len(classes), (40, 56), "uint8")
            mask[rng.random((40, 56)) < 0.1] = 255
            Image.fromarray(image).save(root / "images" / f"{i}.jpg")
            Image.fromarray(mask).save(root / "labels" / f"{i}.png")
        (root / "classes.txt").write_text("\n".join(classes))
        for split, stems in {"train": "01", "trainaug": "012", "val": "3"}.items():
            (root / f"{split}.txt").write_text("\n".join(stems))
        return root

    return write


@pytest.fixture(scope="module")
def backbones(tmp_path_factory):
    """Saves the backbones that recipes start from, one a structure."""
    folder = tmp_path_factory.mktemp("backbones")

    def save(config):
        model = segmentation.build_model(dataclasses.replace(config, head="fcn"), labels.VOC)
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
    warmup = min(recipe.warmup_steps, SMALL["epochs"] - 1)
    given = {"data": str(data), "warmup_steps": warmup}
    options = dict.fromkeys(required) | SMALL | given | changes
    idle = recipe(**options).idle_options()
    used = {option: value for option, value in options.items() if option not in idle}
    return recipe(**used), "start_from" in required


def kind(name):
    """Returns all that tells small recipes apart, but for data, rate, and what they start from.

    ResNet-50 and 101 are one, as all have one block a stage.
    """
    config, _ = small(name, "data")
    left_out = {"train_split": None, "learning_rate": 0.0, "backbone": "resnet50"}
    return dataclasses.astuple(dataclasses.replace(config, **left_out))


# One of each kind of the paper's.
KINDS = sorted({kind(name): name for name in reversed(PAPER)}.values())


@pytest.fixture
def step_by_step():
    """Runs functions without tracing them first, which takes most of the time of a short run."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def run_all_the_way(name, data, backbones, folder):
    """Trains, goes on, scores in multi-scale and exports, and checks what each of them leaves."""
    config, starts_from = small(name, data)
    if starts_from:
        config = dataclasses.replace(config, start_from=backbones(config))
    run_dir = folder / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(segmentation.Segmentation, "callbacks", lambda *unused: [Interrupt()])
        with pytest.raises(KeyboardInterrupt):
            fit.train(config, run_dir)
    model, history = fit.train(config, run_dir)
    assert len(history["val_mean_iou"]) == 2
    assert np.isfinite(history["loss"]).all()

    multi_scale = SegmentationScoring(multi_scale=True, base_size=48, crop_size=32)
    evaluate.main(run_dir, data=str(data), split="val", segmentation=multi_scale)
    scores = json.loads((run_dir / "evaluation-val-multi-scale/scores.json").read_text())
    assert 0 <= scores["mean_iou"] <= 1
    assert list(scores["iou"]) == list(CLASSES[name.split("_")[0]])

    export_saved_model(model, folder / "export")
    served = tf.saved_model.load(folder / "export").signatures["tensors"]
    image = np.asarray(Image.open(data / "images/3.jpg"))
    answer = served(images=tf.constant(image[None], tf.float32))["classes"][0]
    # In bfloat16 the best two classes of a pixel may be all but equal.
    least = 1.0 if config.precision == "float32" else 0.95
    assert np.mean(answer == model.segment(image)) >= least


@pytest.mark.parametrize("name", KINDS)
def test_a_recipe_of_each_kind_runs_from_end_to_end(name, datasets, backbones, tmp_path):
    run_all_the_way(name, datasets(name), backbones, tmp_path)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in KINDS])
def test_every_other_recipe_runs_from_end_to_end(
    name, datasets, backbones, tmp_path, step_by_step, monkeypatch
):
    # Takes seconds for 150 classes.
    monkeypatch.setattr(segmentation_scores, "save_confusion_matrix", lambda *unused: None)
    run_all_the_way(name, datasets(name), backbones, tmp_path)


def sizes(name):
    return {field: getattr(RECIPES[name], field) for field in ("crop_size", "base_size")}


# One of each kind at each size.
SIZES = sorted({(kind(name), *sizes(name).values()): name for name in reversed(PAPER)}.values())


@pytest.mark.parametrize("name", SIZES)
def test_a_recipe_of_each_size_learns_from_crops_of_it(name, datasets):
    config, _ = small(name, datasets(name), **sizes(name))
    task = task_of(config)
    model = task.build_model()
    optimizer = fit.optimizer(config, task.steps_per_epoch * config.epochs)
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
