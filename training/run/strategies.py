"""Which devices a training runs on, and what each of them reads.

The batch of a recipe is that of all replicas together. Its size says how fast the network learns;
on how many devices it is spread changes nothing but the time.
"""

import contextlib
import json
import os

import tensorflow as tf

from training.configs.config import STRATEGIES
from training.input.segmentation_batches import replicas_here


def choose(strategy="auto", cpu_devices=1):
    """Returns the strategy to train under; call it before TensorFlow does anything else.

    Args:
        strategy: one of `STRATEGIES`. `auto` is `multi_worker` where the
            environment variable TF_CONFIG names several machines, `mirrored`
            where there are several GPUs, and `one_device` elsewhere.
        cpu_devices: how many devices to split the processor in: several
            replicas without GPUs, to try what would run on them.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: for a TF_CONFIG that can't be used, or a strategy that
            lacks its devices.
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
                "`strategy` is multi_worker, and there is no TF_CONFIG that names the workers: see "
                "docs/scaling.md. Received: TF_CONFIG=None"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if strategy == "mirrored":
        devices = tf.config.list_logical_devices("CPU") if cpu_devices > 1 else gpus
        if len(devices) < 2:
            raise ValueError(
                f"`strategy` is mirrored, which needs several GPUs, and there are {len(gpus)}: add "
                f"--cpu-devices 2 to try it on the processor. Received: strategy={strategy!r}"
            )
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def is_chief(strategy):
    """Returns whether this process writes what a run leaves: of several workers, one does."""
    return strategy.extended.should_checkpoint


def check_batch(strategy, batch_size):
    """Raises ValueError unless all replicas get an equal share of the batch, and not none."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"`batch_size` is that of all {replicas} replicas together, which must get equal "
            f"shares: choose a multiple of {replicas}, such as "
            f"{-(-batch_size // replicas) * replicas}. Received: batch_size={batch_size}"
        )


def distribute(strategy, make):
    """Makes a data set of which each worker reads its own share.

    Args:
        strategy: a `tf.distribute.Strategy`.
        make: function from a `tf.distribute.InputContext` to the batches of
            the replicas of one worker, see `training.input.segmentation_batches`.
    """
    if strategy.num_replicas_in_sync == 1:
        return make(tf.distribute.InputContext())
    return strategy.distribute_datasets_from_function(make)


def distribute_validation(strategy, make):
    """Makes what `fit` validates on, of which each worker reads its own share.

    Args:
        strategy: a `tf.distribute.Strategy`.
        make: as for `distribute`; the batches of one evaluation.

    Returns:
        A dict of `validation_data` and `validation_steps`.
    """
    if strategy.num_replicas_in_sync == 1:
        return {"validation_data": distribute(strategy, make), "validation_steps": None}
    steps = []

    def repeat(context):
        batches = make(context)
        steps.append(int(batches.cardinality()) // replicas_here(context))
        return batches.repeat()

    # Without end, and so many steps: where a data set ends, replicas take one more step on empty
    # batches, whose losses of 0 count.
    return {"validation_data": distribute(strategy, repeat), "validation_steps": steps[0]}


def check_agreement(strategy, value, what):
    """Waits for all workers and raises ValueError unless they have the same value.

    Args:
        strategy: a `tf.distribute.Strategy`.
        value: an integer.
        what: what it is, for the message.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    own = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant([value], tf.int64)
    )
    values = strategy.gather(own, axis=0).numpy().tolist()
    if len(set(values)) > 1:
        raise ValueError(
            f"The workers disagree on {what}: {values}, in the order of their replicas. They need "
            "the same command, and a run folder that all of them see."
        )


@contextlib.contextmanager
def lost_workers_named():
    """Raises ConnectionError, and says what to do, where TensorFlow fails for a lost worker."""
    try:
        yield
    except tf.errors.OpError as error:
        # Depending on what it waits for, TensorFlow raises one or another of these.
        lost = ("Unavailable", "Aborted", "Cancelled", "Internal", "DeadlineExceeded")
        if _workers() < 2 or not type(error).__name__.startswith(lost):
            raise
        raise ConnectionError(
            "Another worker has stopped or can't be reached, and this one can't train alone. Start "
            "all of them again with the same command: they go on from the newest checkpoint. "
            f"Received: {type(error).__name__}"
        ) from error


def _workers():
    """Returns how many machines TF_CONFIG names, 0 without one."""
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
            "TF_CONFIG must be JSON with a `cluster`, lists of addresses, and a `task` in it, with "
            f"`type` and `index`: see docs/scaling.md. Received: TF_CONFIG={text!r}"
        ) from error
    others = sorted(set(cluster) - {"chief", "worker"})
    if others:
        raise ValueError(
            "TF_CONFIG may name a chief and workers, which train in step. There are no parameter "
            f"servers, and each run evaluates itself. Received: {', '.join(others)}"
        )
    return sum(len(addresses) for addresses in cluster.values())


def _split_cpu(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    except RuntimeError as error:
        # A second training in one process is fine if it wants the same.
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise ValueError(
                "The processor can't be split any more once TensorFlow has used it. "
                f"Received: cpu_devices={count}"
            ) from error
