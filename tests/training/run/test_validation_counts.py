"""Validation counts every sample once, on however many replicas: what they miss would be a score.

Each number of replicas needs a process of its own, since the processor must be split before
TensorFlow uses it. As a script this file is that process.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
REPLICAS = (1, 2, 3)
# Neither 2 nor 3 divides them.
IMAGES, CLASSES = 7, 4
# Images of a classifier that one replica takes at a time.
BATCHES = (1, 2, 4)
TIMEOUT = 300


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """What each number of replicas has counted: a dict of dicts of arrays."""
    folder = tmp_path_factory.mktemp("counts")
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(replicas), folder / str(replicas)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        )
        for replicas in REPLICAS
    ]
    try:
        assert [process.wait(TIMEOUT) for process in processes] == [0] * len(REPLICAS)
    finally:
        for process in processes:
            process.kill()
    return {replicas: dict(np.load(folder / f"{replicas}/counts.npz")) for replicas in REPLICAS}


@pytest.mark.parametrize("replicas", REPLICAS)
def test_each_labeled_pixel_is_counted_once(counted, replicas):
    labels = np.concatenate([mask.ravel() for mask in draw_masks()])
    matrix = counted[replicas]["matrix"]
    np.testing.assert_array_equal(matrix.sum(1), np.bincount(labels)[:CLASSES])
    np.testing.assert_array_equal(matrix, counted[1]["matrix"])


@pytest.mark.parametrize("replicas", REPLICAS)
def test_each_image_of_a_classifier_is_counted_once(counted, replicas):
    right = counted[replicas]["right"]
    assert 0 < right < IMAGES
    accuracies = counted[replicas]["accuracies"]
    np.testing.assert_allclose(accuracies, np.full(len(BATCHES), right / IMAGES), rtol=1e-6)


def main(replicas, folder):
    from training.run import strategies

    strategy = strategies.choose(cpu_devices=replicas)
    assert strategy.num_replicas_in_sync == replicas
    matrix = matrix_of(strategy, write(folder / "data", draw_masks()))
    accuracies, right = accuracies_of(strategy)
    np.savez(folder / "counts.npz", matrix=matrix, accuracies=accuracies, right=right)


def draw_masks():
    """Returns masks of several sizes, with void among their classes."""
    draw = np.random.default_rng(0)
    sizes = [(8, 8 + 3 * i) for i in range(IMAGES)]
    return [draw.choice([*range(CLASSES), 255], size).astype("uint8") for size in sizes]


def write(root, masks):
    from PIL import Image

    from training.input import folder

    draw = np.random.default_rng(1)
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    for i, mask in enumerate(masks):
        image = draw.integers(0, 256, (*mask.shape, 3), "uint8")
        Image.fromarray(image).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "labels" / f"{i}.png")
    (root / "val.txt").write_text("\n".join(map(str, range(len(masks)))))
    (root / "classes.txt").write_text("\n".join("abcd"))
    return folder.read_split(root, "val")


def matrix_of(strategy, split):
    """Validates as `training.train` does, and returns the confusion matrix."""
    import keras

    import keras_encnet
    from training.input import segmentation_batches
    from training.run import strategies

    keras.utils.set_random_seed(0)
    with strategy.scope():
        images = keras.Input((None, None, 3))
        logits = keras.layers.Conv2D(CLASSES, 3, padding="same")(images)
        model = keras_encnet.models.SegmentationModel(images, {"segmentation": logits})
        objectives = keras_encnet.objectives(model)
        model.compile("sgd", **objectives)
    batches = strategies.distribute_validation(
        strategy,
        lambda context: segmentation_batches.whole_images(split, mode="tf", input_context=context),
    )
    model.evaluate(batches["validation_data"], steps=batches["validation_steps"], verbose=0)
    return objectives["metrics"]["segmentation"].confusion_matrix.numpy()


def accuracies_of(strategy):
    """Validates a classifier likewise, in several batches.

    Returns:
        Its accuracies, and how many of its answers are right.
    """
    import keras

    from keras_encnet.models import ClassificationModel
    from training.datasets import cifar
    from training.input import cifar_batches
    from training.run import strategies

    draw = np.random.default_rng(2)
    pixels = draw.integers(0, 256, (IMAGES, 32, 32, 3)).astype("uint8")
    keras.utils.set_random_seed(0)
    with strategy.scope():
        images = keras.Input((32, 32, 3))
        x = keras.layers.Conv2D(CLASSES, 3)(images)
        model = ClassificationModel(images, keras.layers.GlobalAveragePooling2D()(x))
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, weighted_metrics=[accuracy])
    answers = np.asarray(model(pixels / np.float32(127.5) - 1, training=False)).argmax(-1)
    labels = answers.astype("int32")
    labels[:3] = (labels[:3] + 1) % CLASSES  # wrong ones
    split = cifar.Split("test", pixels, labels, tuple("abcd"))
    accuracies = []
    for cifar_batches.EVALUATION_BATCH in BATCHES:
        batches = strategies.distribute_validation(
            strategy,
            lambda context: cifar_batches.all_images(split, mode="tf", input_context=context),
        )
        scores = model.evaluate(
            batches["validation_data"],
            steps=batches["validation_steps"],
            verbose=0,
            return_dict=True,
        )
        accuracies.append(scores["accuracy"])
    return accuracies, int((answers == labels).sum())


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
