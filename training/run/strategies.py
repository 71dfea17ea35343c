"""Distribution strategies, and the share of the data that each device reads.

The batch size of a recipe is the sum over all replicas. It affects the result; the number of
replicas that share it affects only the time.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from training.configs.config import STRATEGIES
from training.input.segmentation_batches import replicas_here

# A function from an input context to the batches of the replicas of one worker.
MakeBatches = Callable[[tf.distribute.InputContext], tf.data.Dataset]


def choose(strategy: str = "auto", cpu_devices: int = 1) -> tf.distribute.Strategy:
    """Returns the strategy to train with. Call it before TensorFlow uses any device.

    Args:
        strategy: one of `STRATEGIES`. `auto` is `multi_worker` if the
            environment variable TF_CONFIG lists several machines, `mirrored`
            if there are several GPUs, and `one_device` otherwise.
        cpu_devices: number of devices to split the CPU into, to test several
            replicas without GPUs.

    Raises:
        ValueError: for an invalid TF_CONFIG, or a strategy without the devices
            it requires.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {STRATEGIES}. Received: strategy={strategy!r}")
    if cpu_devices < 1:
        raise ValueError(f"`cpu_devices` must be at least 1. Received: cpu_devices={cpu_devices}")
    workers = _workers()
    if cpu_devices > 1:
        _split_cpu(cpu_devices)
    gpus = tf.config.list_logical_devices("GPU") if workers < 2 else ()
    if strategy == "auto":
        several = len(gpus) > 1 or cpu_devices > 1
        strategy = "multi_worker" if workers > 1 else "mirrored" if several else "one_device"
    if strategy == "multi_worker":
        if not workers:
            raise ValueError(
                "The strategy multi_worker requires a TF_CONFIG that lists the workers, see "
                "docs/scaling.md. Received: TF_CONFIG=None"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if strategy == "mirrored":
        devices = tf.config.list_logical_devices("CPU") if cpu_devices > 1 else gpus
        if len(devices) < 2:
            raise ValueError(
                f"The strategy mirrored requires several GPUs, but there are {len(gpus)}. Use "
                f"--cpu-devices 2 to test it on the CPU. Received: strategy={strategy!r}"
            )
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes to the run folder; of several workers only one does."""
    return strategy.extended.should_checkpoint


def check_batch(strategy: tf.distribute.Strategy, batch_size: int) -> None:
    """Raises ValueError unless the batch size is a multiple of the number of replicas."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be a multiple of {replicas}, the number of replicas that share it, "
            f"such as {-(-batch_size // replicas) * replicas}. Received: batch_size={batch_size}"
        )


def distribute(strategy: tf.distribute.Strategy, make: MakeBatches) -> Any:
    """Makes a data set of which each worker reads its own share.

    Args:
        strategy: a `tf.distribute.Strategy`.
        make: function from a `tf.distribute.InputContext` to the batches of
            the replicas of one worker, see `training.input.segmentation_batches`.

    Returns:
        A `tf.data.Dataset` or a `tf.distribute.DistributedDataset`.
    """
    if strategy.num_replicas_in_sync == 1:
        return make(tf.distribute.InputContext())
    return strategy.distribute_datasets_from_function(make)


def distribute_validation(strategy: tf.distribute.Strategy, make: MakeBatches) -> dict[str, Any]:
    """Makes the validation data for `fit`, of which each worker reads its own share.

    Args:
        strategy: a `tf.distribute.Strategy`.
        make: as for `distribute`; the batches of one evaluation.

    Returns:
        A dict of `validation_data` and `validation_steps`, arguments of `fit`.
    """
    if strategy.num_replicas_in_sync == 1:
        return {"validation_data": distribute(strategy, make), "validation_steps": None}
    steps = []

    def repeat(context):
        batches = make(context)
        steps.append(int(batches.cardinality()) // replicas_here(context))
        return batches.repeat()

    # Infinite data and a number of steps: at the end of finite data, replicas take one more step on
    # empty batches, whose losses of 0 would count.
    return {"validation_data": distribute(strategy, repeat), "validation_steps": steps[0]}


def check_agreement(strategy: tf.distribute.Strategy, value: int, what: str) -> None:
    """Waits for all workers and raises ValueError unless they have the same value.

    Args:
        strategy: a `tf.distribute.Strategy`.
        value: an integer.
        what: description of the value for the message.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    own = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant([value], tf.int64)
    )
    values = strategy.gather(own, axis=0).numpy().tolist()
    if len(set(values)) > 1:
        raise ValueError(
            f"The workers disagree on {what}. They must run the same command and share the run "
            f"folder. Received, by replica: {values}"
        )


@contextlib.contextmanager
def lost_workers_named() -> Iterator[None]:
    """Converts TensorFlow's errors about a lost worker to a ConnectionError with the remedy."""
    try:
        yield
    except tf.errors.OpError as error:
        # TensorFlow raises any of these, depending on the operation in progress.
        lost = ("Unavailable", "Aborted", "Cancelled", "Internal", "DeadlineExceeded")
        if _workers() < 2 or not type(error).__name__.startswith(lost):
            raise
        raise ConnectionError(
            "Another worker has stopped or cannot be reached. Start all workers again with the "
            "same command: they resume from the newest checkpoint. "
            f"Received: {type(error).__name__}"
        ) from error


def _workers():
    """Returns the number of machines in TF_CONFIG, 0 if it is not set."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 0
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        addresses = cluster[task["type"]]
        addresses[int(task["index"])]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(
            "TF_CONFIG must be JSON with a `cluster`, lists of addresses, and a `task` in it, its "
            f"`type` and `index`, see docs/scaling.md. Received: TF_CONFIG={text!r}"
        ) from error
    others = sorted(set(cluster) - {"chief", "worker"})
    if others:
        raise ValueError(
            "TF_CONFIG may contain only a chief and workers: parameter servers and evaluators are "
            f"not supported. Received: {', '.join(others)}"
        )
    return sum(len(addresses) for addresses in cluster.values())


def _split_cpu(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    except RuntimeError as error:
        # A second training in the same process may request the same split.
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise ValueError(
                "The CPU cannot be split after TensorFlow has used it. "
                f"Received: cpu_devices={count}"
            ) from error
