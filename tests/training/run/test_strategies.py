"""Choice of devices and its errors; replicas share each batch without overlap."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.training.folders import write_split
from training.configs import RECIPES
from training.configs.cifar10 import CIFAR10EncNet16k64d
from training.configs.scenes import ScenesEncNet
from training.input import cifar_batches, segmentation_batches
from training.run import fit, strategies

# Number of replicas in total, and of machines.
LAYOUTS = [(2, 1), (3, 1), (4, 2), (3, 3)]
BATCH = 12


def contexts(replicas, machines):
    return [tf.distribute.InputContext(machines, i, replicas) for i in range(machines)]


def by_step(make, replicas, machines, steps):
    """Returns the shares of all replicas for each step, from the pipelines of all machines."""
    here = replicas // machines
    shares = [
        list(make(context).take(steps * here).as_numpy_iterator())
        for context in contexts(replicas, machines)
    ]
    return [
        [share for machine in shares for share in machine[step * here : (step + 1) * here]]
        for step in range(steps)
    ]


@pytest.fixture
def numbered_images(tmp_path):
    """13 images whose pixels have the number of the image as their class, one of another size."""
    masks = [np.full((8, 9 if i == 5 else 8), i, "uint8") for i in range(13)]
    return write_split(tmp_path, [(np.stack([mask] * 3, -1), mask) for mask in masks], 13)


@pytest.fixture
def numbered_cifar(rng):
    images = rng.integers(0, 256, (13, 32, 32, 3)).astype("uint8")
    return cifar_batches.Split(
        "train", images, np.arange(13, dtype="int32"), tuple("abcdefghijklm")
    )


def crops(split, input_context=segmentation_batches.ONE_REPLICA, first_step=0):
    return segmentation_batches.train_batches(
        split,
        crop_size=8,
        batch_size=BATCH,
        seed=1,
        first_step=first_step,
        input_context=input_context,
    )


def cifar_crops(split, input_context=segmentation_batches.ONE_REPLICA, first_step=0):
    return cifar_batches.train_batches(
        split,
        batch_size=BATCH,
        seed=1,
        first_step=first_step,
        input_context=input_context,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "machines"), LAYOUTS)
@pytest.mark.parametrize(
    ("batches", "data"), [(crops, "numbered_images"), (cifar_crops, "numbered_cifar")]
)
def test_shares_of_all_replicas_make_up_the_batch(batches, data, replicas, machines, request):
    split = request.getfixturevalue(data)
    whole = list(batches(split, first_step=2).take(3).as_numpy_iterator())
    shared = by_step(lambda c: batches(split, c, first_step=2), replicas, machines, steps=3)
    for batch, shares in zip(whole, shared, strict=True):
        assert len(shares) == replicas
        for part, value in enumerate(batch):
            np.testing.assert_array_equal(np.concatenate([s[part] for s in shares]), value)


@pytest.mark.parametrize(("replicas", "machines"), [(1, 1), *LAYOUTS])
def test_full_images_are_padded_with_ignored_images(replicas, machines, numbered_images):
    steps = -(-13 // replicas)
    found = by_step(
        lambda context: segmentation_batches.whole_images(
            numbered_images, ignore_class=(77, 78), input_context=context
        ),
        replicas,
        machines,
        steps + 1,  # one more than exist
    )
    assert found.pop() == []
    masks = [mask for shares in found for _, mask in shares]
    assert len(masks) == steps * replicas
    for i, mask in enumerate(masks):
        assert np.unique(mask) == (i if i < 13 else 77)
        assert mask.shape[0] == 1
    assert masks[5].shape == (1, 8, 9)


@pytest.mark.parametrize(("replicas", "machines"), LAYOUTS)
def test_weights_count_each_cifar_image_once(replicas, machines, numbered_cifar, monkeypatch):
    monkeypatch.setattr(cifar_batches, "EVALUATION_BATCH", 2)
    found = by_step(
        lambda context: cifar_batches.all_images(numbered_cifar, input_context=context),
        replicas,
        machines,
        steps=20,
    )
    shares = [share for step in found for share in step]
    assert len({len(labels) for _, labels, _ in shares}) == 1
    assert len(shares) % replicas == 0
    labels, weights = (np.concatenate([share[i] for share in shares]) for i in (1, 2))
    np.testing.assert_array_equal(labels[weights > 0], numbered_cifar.labels)
    # The mean over all samples, including those of weight 0, is the mean over the images.
    values = np.random.default_rng(0).normal(size=13)
    np.testing.assert_allclose((values[labels] * weights).mean(), values.mean())


def test_one_device_uses_the_default_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for strategy in ("auto", "one_device"):
        assert strategies.choose(strategy) is tf.distribute.get_strategy()
    assert strategies.is_chief(strategies.choose())
    strategies.check_agreement(strategies.choose(), 7, "the number")


def test_a_single_worker_uses_the_default_strategy(monkeypatch):
    config = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert strategies.choose() is tf.distribute.get_strategy()


@pytest.mark.parametrize(
    "config",
    [
        "no JSON",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}',
    ],
)
def test_invalid_tf_config_raises(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match="TF_CONFIG must be JSON.*Received: TF_CONFIG="):
        strategies.choose()


@pytest.mark.parametrize("other", ["ps", "evaluator"])
def test_parameter_servers_and_evaluators_raise(other, monkeypatch):
    cluster = {"worker": ["a:1"], other: ["b:1"]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(ValueError, match=f"Received: {other}"):
        strategies.choose()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "horovod"}, "Received: strategy='horovod'"),
        ({"strategy": "multi_worker"}, "requires a TF_CONFIG"),
        ({"strategy": "mirrored"}, "--cpu-devices 2"),
        ({"cpu_devices": 0}, "Received: cpu_devices=0"),
        ({"cpu_devices": 2}, "cannot be split"),
    ],
)
def test_missing_devices_raise(arguments, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    tf.zeros(1)  # initializes the devices
    with pytest.raises(ValueError, match=message):
        strategies.choose(**arguments)


def test_batch_size_must_be_a_multiple_of_the_replicas():
    class Three:
        num_replicas_in_sync = 3

    strategies.check_batch(Three, 6)
    for size in (1, 4, 5):
        with pytest.raises(ValueError, match=f"multiple of 3, .*batch_size={size}"):
            strategies.check_batch(Three, size)


def test_learning_rate_scales_with_the_batch_size():
    def rate(recipe, **options):
        return float(fit.schedule(recipe(**options), steps=10)(0))

    cosine, poly = CIFAR10EncNet16k64d, ScenesEncNet
    for recipe, options in ((cosine, {}), (poly, {"warmup_steps": 0})):
        own = recipe.batch_size
        assert rate(recipe, **options) == pytest.approx(recipe.learning_rate)
        double = rate(recipe, batch_size=2 * own, **options)
        assert double == pytest.approx(2 * recipe.learning_rate)
        unscaled = rate(recipe, batch_size=2 * own, learning_rate_batch=2 * own, **options)
        assert unscaled == pytest.approx(recipe.learning_rate)


def test_learning_rates_of_recipes_are_for_their_own_batch_size():
    for recipe in RECIPES.values():
        assert recipe.batch_size >= 1
        assert recipe.learning_rate_batch is None
