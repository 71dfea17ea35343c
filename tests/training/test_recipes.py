"""The recipes: their records, their networks, and one of each kind from training to export."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_encnet.export import export_saved_model
from training import evaluate
from training.configs import RECIPES, SegmentationConfig
from training.configs.registry import recipe
from training.run import fit
from training.tasks import segmentation, task_of
from training.tasks.segmentation_scores import SegmentationScoring

# Recipes of segmentation; tests/training/test_cifar_runs.py has the others.
NAMES = [name for name, kind in RECIPES.items() if issubclass(kind, SegmentationConfig)]
PAPER = [name for name in NAMES if name.startswith(("pascal", "ade", "voc", "city"))]
CLASSES = ("sky", "road", "car")
SMALL = {
    "blocks": (1, 1, 1, 1),
    "width_multiplier": 0.0625,
    "channels": 8,
    "backbone_weights": None,
    "crop_size": (32, 32),
    "working_size": 48,
    "batch_size": 2,
    "epochs": 2,
    "min_epoch_steps": 1,
    "warmup_steps": None,
}
# What recipes differ in that does not change which code runs.
NO_KIND = {"train_split": None, "learning_rate": 0.0, "head_multiplier": 1.0, "gate_bias": None}
NO_KIND |= {"backbone": "resnet50"}  # with one block per stage


def required(name):
    return [f.name for f in dataclasses.fields(RECIPES[name]) if f.default is dataclasses.MISSING]


def small(name, data="data", **changes):
    """Returns a small version of a recipe, without `start_from`."""
    options = dict.fromkeys(required(name)) | SMALL | {"data": str(data)} | changes
    idle = RECIPES[name](**options).idle_options()
    return RECIPES[name](**{key: value for key, value in options.items() if key not in idle})


def traits_of(name):
    config = dataclasses.replace(small(name), **NO_KIND)
    idle = config.idle_options()
    return {item for item in dataclasses.asdict(config).items() if item[0] not in idle}


def with_all_traits(names):
    """Returns few recipes such that each value of each option is in one of them."""
    traits = {name: traits_of(name) for name in names}
    missing, chosen = set.union(*traits.values()), []
    while missing:
        chosen.append(max(names, key=lambda name: len(traits[name] & missing)))
        missing -= traits[chosen[-1]]
    return chosen


KINDS = with_all_traits(NAMES)
# One recipe for each size of crops.
SIZES = {(RECIPES[name].crop_size, RECIPES[name].working_size): name for name in reversed(NAMES)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder data set of four images with all splits that any recipe needs."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for part in ("images", "labels"):
        (root / part).mkdir()
    for i in range(4):
        mask = rng.integers(0, len(CLASSES), (40, 56), "uint8")
        mask[rng.random((40, 56)) < 0.1] = 255
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), "uint8")).save(root / f"images/{i}.jpg")
        Image.fromarray(mask).save(root / f"labels/{i}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES))
    for split, stems in {"train": "01", "trainaug": "012", "val": "3"}.items():
        (root / f"{split}.txt").write_text("\n".join(stems))
    return root


@pytest.mark.parametrize("name", NAMES)
def test_recipe_builds_its_network(name):
    config = small(name)
    config.check()
    model = segmentation.build_model(config, CLASSES)
    assert model.output["segmentation"].shape == (None, None, None, len(CLASSES))
    assert model.class_names == CLASSES
    assert ("presence" in model.output) == (config.head == "encnet")
    assert model.preprocessing == ("torch" if "official" in name or "scenes" in name else "caffe")


ONLY_HEAD = {"head"}
OFFICIAL = {"variant", "backbone_weights", "start_from", "epochs", "rotation"}


@pytest.mark.parametrize(
    ("base", "name", "differences"),
    [
        ("scenes_encnet", "scenes_fcn", ONLY_HEAD),
        ("folder_encnet50_dilated", "folder_fcn50", ONLY_HEAD),
        ("folder_encnet50_dilated", "folder_pspnet50", ONLY_HEAD),
        ("folder_encnet50_dilated", "folder_deeplabv3_50", ONLY_HEAD),
        ("folder_encnet50", "msrc21_encnet50", {"train_split", "precision"}),
        ("folder_encnet50", "folder_encnet50_dilated", {"neck"}),
        ("msrc21_encnet50", "msrc21_encnet50_dilated", {"neck"}),
        ("folder_fcn50", "msrc21_fcn50", {"train_split", "precision"}),
        ("folder_pspnet50", "msrc21_pspnet50", {"train_split", "precision"}),
        ("folder_deeplabv3_50", "msrc21_deeplabv3_50", {"train_split", "precision"}),
        ("pascal_context_encnet50", "pascal_context_fcn50", ONLY_HEAD),
        ("pascal_context_encnet50", "pascal_context_encnet101", {"backbone"}),
        ("pascal_context_encnet50", "pascal_context_encnet50_official", OFFICIAL | {"lateral"}),
        ("pascal_context_encnet50_official", "pascal_context_encnet101_official", {"backbone"}),
        ("ade20k_encnet50", "ade20k_fcn50", ONLY_HEAD),
        ("ade20k_encnet50", "ade20k_encnet101", {"backbone", "crop_size", "working_size"}),
        ("ade20k_encnet50", "ade20k_encnet50_official", OFFICIAL | {"learning_rate"}),
        (
            *("ade20k_encnet50_official", "ade20k_encnet101_official"),
            {"backbone", "crop_size", "working_size"},
        ),
        ("cityscapes_encnet50_official", "cityscapes_encnet101_official", {"backbone"}),
        (
            *("voc2012_encnet101_aug", "voc2012_encnet101_coco"),
            {"data", "train_split", "epochs", "learning_rate"},
        ),
        (
            *("voc2012_encnet101_aug", "voc2012_encnet101"),
            {"train_split", "backbone_weights", "start_from", "learning_rate"},
        ),
        ("voc2012_encnet101_aug", "voc2012_encnet101_aug_official", OFFICIAL | {"lateral"}),
        (
            *("voc2012_encnet101_aug_official", "voc2012_encnet101_coco_official"),
            {"data", "train_split", "epochs", "learning_rate"},
        ),
        (
            *("voc2012_encnet101_aug_official", "voc2012_encnet101_official"),
            {"train_split", "epochs", "learning_rate"},
        ),
    ],
)
def test_recipe_differs_from_its_base_as_documented(base, name, differences):
    defaults = [{f.name: f.default for f in dataclasses.fields(RECIPES[n])} for n in (base, name)]
    assert {field for field in defaults[0] if defaults[0][field] != defaults[1][field]} == (
        differences
    )


def test_registered_names_are_unique():
    with pytest.raises(ValueError, match="Received: name='scenes_fcn'"):
        recipe("scenes_fcn")(SegmentationConfig)


def test_documentation_lists_the_recipes_of_the_paper():
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    stages = ("_coco", "_aug")  # which are parts of a row
    missing = [name for name in PAPER if name not in page and not any(s in name for s in stages)]
    assert not missing


# In the fast tier, one working size that is a number, and one that is not.
FAST = {type(key[1]): key for key in SIZES}.values()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, id=f"{k[0]}-{k[1]}", marks=[pytest.mark.slow] * (k not in FAST))
        for k, name in SIZES.items()
    ],
)
def test_network_trains_on_crops_of_every_size(name, data):
    sizes = {size: getattr(RECIPES[name], size) for size in ("crop_size", "working_size")}
    config = small(name, data, **sizes)
    task = task_of(config)
    model = task.build_model()
    optimizer = fit.optimizer(config, task.steps_per_epoch * config.epochs)
    model.compile(optimizer, run_eagerly=True, **task.objectives(model))
    images, masks = next(iter(task.train_batches()))
    assert images.shape == (2, *task.config.crop_size, 3)
    before = [weight.numpy() for weight in model.trainable_weights]
    assert np.isfinite(model.train_on_batch(images, masks)[0])
    after = [weight.numpy() for weight in model.trainable_weights]
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


class Interrupt(keras.callbacks.Callback):
    """Interrupts training before its second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.fixture
def eager():
    """Does not trace functions, which takes most of the time of a short run."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def save_backbone(config, folder):
    """Saves the backbone of a recipe with random weights, such as the official recipes need."""
    model = segmentation.build_model(config, CLASSES)
    features = model.get_layer(model.backbone_layers[-1]).output
    keras.Model(model.input, features, name="backbone").save(folder / "backbone.keras")
    return str(folder / "backbone.keras")


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_recipe_of_each_kind_trains_resumes_scores_and_exports(
    name, data, eager, tmp_path, monkeypatch
):
    config = small(name, data)
    if "start_from" in required(name):
        config = dataclasses.replace(config, start_from=save_backbone(config, tmp_path))
    run_dir = tmp_path / "run"
    with monkeypatch.context() as patched:
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
    assert tuple(scores["iou"]) == CLASSES

    export_saved_model(model, tmp_path / "export")
    served = tf.saved_model.load(tmp_path / "export").signatures["tensors"]
    image = np.asarray(Image.open(data / "images/3.jpg"))
    classes = served(images=tf.constant(image[None], tf.float32))["classes"][0]
    # In bfloat16, the best two classes of a pixel may be almost equal.
    least = 1.0 if config.precision == "float32" else 0.95
    assert np.mean(classes == model.segment(image, size="native")) >= least
