"""Validation counts every sample exactly once, on any number of replicas.

The CPU must be split before TensorFlow uses it, so this file is also the script of the process that
validates.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))  # as a script

import keras_encnet  # noqa: E402
from tests.training.folders import write_split  # noqa: E402
from training.input import cifar_batches, segmentation_batches  # noqa: E402
from training.run import strategies  # noqa: E402

REPLICAS = (1, 2, 3)
# Neither 2 nor 3 divides it.
IMAGES, CLASSES = 7, 4
# Batch sizes per replica in the evaluation of a classifier.
BATCHES = (1, 2, 4)
TIMEOUT = 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Returns what each number of replicas has counted: a dict of dicts of arrays."""
    folder = tmp_path_factory.mktemp("counts")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    processes = [
        subprocess.Popen([sys.executable, __file__, str(n), folder / str(n)], env=environment)
        for n in REPLICAS
    ]
    try:
        assert [process.wait(TIMEOUT) for process in processes] == [0] * len(REPLICAS)
    finally:
        for process in processes:
            process.kill()
    return {n: dict(np.load(folder / f"{n}/counts.npz")) for n in REPLICAS}


@pytest.mark.parametrize("replicas", REPLICAS)
def test_every_labeled_pixel_is_counted_once(counted, replicas):
    labels = np.concatenate([mask.ravel() for mask in random_masks()])
    matrix = counted[replicas]["matrix"]
    np.testing.assert_array_equal(matrix.sum(1), np.bincount(labels)[:CLASSES])
    np.testing.assert_array_equal(matrix, counted[1]["matrix"])


@pytest.mark.parametrize("replicas", REPLICAS)
def test_every_image_of_a_classifier_is_counted_once(counted, replicas):
    correct = counted[replicas]["correct"]
    assert 0 < correct < IMAGES
    accuracies = counted[replicas]["accuracies"]
    np.testing.assert_allclose(accuracies, np.full(len(BATCHES), correct / IMAGES), rtol=1e-6)


def main(replicas, folder):
    strategy = strategies.choose(cpu_devices=replicas)
    assert strategy.num_replicas_in_sync == replicas
    rng = np.random.default_rng(1)
    samples = [(rng.integers(0, 256, (*m.shape, 3), "uint8"), m) for m in random_masks()]
    matrix = segmentation_matrix(strategy, write_split(folder / "data", samples, CLASSES, "val"))
    accuracies, correct = classifier_accuracies(strategy)
    np.savez(folder / "counts.npz", matrix=matrix, accuracies=accuracies, correct=correct)


def random_masks():
    """Returns masks of several sizes, with ignored pixels."""
    rng = np.random.default_rng(0)
    sizes = [(8, 8 + 3 * i) for i in range(IMAGES)]
    return [rng.choice([*range(CLASSES), 255], size).astype("uint8") for size in sizes]


def segmentation_matrix(strategy, split):
    """Validates as `training.train` does, and returns the confusion matrix."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        images = keras.Input((None, None, 3))
        x = keras_encnet.layers.ImageNormalization("tf")(images)
        logits = keras.layers.Conv2D(CLASSES, 3, padding="same")(x)
        model = keras_encnet.models.SegmentationModel(images, {"segmentation": logits})
        objectives = keras_encnet.objectives(model)
        model.compile("sgd", **objectives)
    batches = strategies.distribute_validation(
        strategy,
        lambda context: segmentation_batches.whole_images(split, input_context=context),
    )
    model.evaluate(batches["validation_data"], steps=batches["validation_steps"], verbose=0)
    return objectives["metrics"]["segmentation"].confusion_matrix.numpy()


def classifier_accuracies(strategy):
    """Returns accuracies for several batch sizes, and the true number of correct predictions."""
    pixels = np.random.default_rng(2).integers(0, 256, (IMAGES, 32, 32, 3)).astype("uint8")
    keras.utils.set_random_seed(0)
    with strategy.scope():
        images = keras.Input((32, 32, 3))
        x = keras_encnet.layers.ImageNormalization("tf")(images)
        x = keras.layers.Conv2D(CLASSES, 3)(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        model = keras_encnet.models.ClassificationModel(images, x)
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, weighted_metrics=[accuracy])
    predictions = np.asarray(model(pixels, training=False)).argmax(-1)
    labels = predictions.astype("int32")
    labels[:3] = (labels[:3] + 1) % CLASSES  # three wrong predictions
    split = cifar_batches.Split("test", pixels, labels, tuple("abcd"))
    accuracies = []
    for cifar_batches.EVALUATION_BATCH in BATCHES:
        batches = strategies.distribute_validation(
            strategy,
            lambda context: cifar_batches.all_images(split, input_context=context),
        )
        scores = model.evaluate(
            batches["validation_data"],
            steps=batches["validation_steps"],
            verbose=0,
            return_dict=True,
        )
        accuracies.append(scores["accuracy"])
    return accuracies, int((predictions == labels).sum())


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
