"""The fit loop: from a recipe to a run folder."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import keras_encnet
from keras_encnet.utils.files import read_json
from training.configs import ClassificationConfig, SegmentationConfig
from training.configs.config import Config
from training.input import fingerprint
from training.run import (
    callbacks,
    checkpoints,
    lock,
    resume,
    run_folder,
    strategies,
    user_callbacks,
)
from training.run.environment import emulates
from training.run.progress import LogProgress
from training.tasks import task_of
from training.tasks.task import Task


def train(
    config: SegmentationConfig | ClassificationConfig, run_dir: Path
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Trains a recipe and records everything in `run_dir`.

    An interrupted run resumes from its newest checkpoint and ends with identical weights.

    Args:
        config: the recipe.
        run_dir: path of the run folder.

    Returns:
        The trained model and its history, a dict of lists with one value per epoch.

    Raises:
        FileExistsError: if `run_dir` has a finished run, one with other options or other data, or
            one that another process is training.
        ValueError: for invalid options or data.
        FloatingPointError: if the loss diverges or is not finite.
        KeyboardInterrupt: if the training is interrupted, with a message that says how to resume.
    """
    config.check()
    strategy = strategies.choose(config.strategy, config.cpu_devices)
    strategies.check_batch(strategy, config.batch_size)
    config = run_folder.resumed(run_dir, config)
    run_folder.check_free(run_dir, config)
    # Several workers share the lock of the one that writes.
    writes = strategies.is_chief(strategy)
    if writes:
        user_callbacks.find(config.callback)  # raises before the data are read
    with lock.locked(run_dir) if writes else contextlib.nullcontext(), resumable(run_dir):
        return _train(config, run_dir, strategy)


def _train(config, run_dir, strategy):
    run_folder.check_free(run_dir, config)  # now that no other process can write to it
    set_up(config)
    task = task_of(config)
    automatic, config = config.automatic_options(), task.config
    data = task.fingerprint()
    run_folder.check_data(run_dir, config, data)
    strategies.check_agreement(strategy, fingerprint.number(data), "the data")
    model = compiled_model(config, task, strategy)
    task.train_batches()  # raises if the options do not fit the data
    # Created only now, so that a command with an error can be corrected and run again.
    chief = strategies.is_chief(strategy)
    more: list[keras.callbacks.Callback] = []
    if chief:
        more = user_callbacks.create(config, run_dir)
        computed = task.computed_options()
        run_folder.create(run_dir, config, data, {**computed, "automatic": sorted(automatic)})
        print_options(computed)
        print(task.plan())
        warn_of_emulation(config.precision)
        print("The first step compiles the network and takes longer than the others.", flush=True)
    state = restored_state(config, task, strategy, model, run_dir)
    live = sys.stdout.isatty()
    if not live:
        more.insert(0, LogProgress(state, config.epochs, task.steps_per_epoch))
    over = config.is_over(state.history.get(config.monitor, ()))
    with task.naming_damaged_files():
        history = resume.fit(
            model,
            lambda step: strategies.distribute(
                strategy, lambda context: task.train_batches(step, context)
            ),
            callbacks.Checkpointing(
                run_dir / "checkpoints", state, config.checkpoint_every, config.keep_checkpoints
            ),
            epochs=state.epoch if over else config.epochs,
            steps_per_epoch=task.steps_per_epoch,
            shuffle=False,  # the batches are already shuffled
            **strategies.distribute_validation(strategy, task.val_batches),
            callbacks=callbacks.run_callbacks(
                run_dir,
                task,
                state,
                records=chief,
                averages_weights=config.average_weights is not None,
                more=more,
            ),
            verbose="auto" if live else 2,  # in a log, one line per epoch
        )
        if chief:
            task.finish(model, run_dir)
    strategies.check_agreement(strategy, state.step, "the last step")  # others wait for the chief
    return model, history


def is_finished(config: SegmentationConfig | ClassificationConfig, run_dir: Path) -> bool:
    """Returns whether `run_dir` has a run of `config` with all of its epochs and results.

    Raises:
        FileExistsError: if it has a run with other options or other data.
    """
    config = run_folder.resumed(run_dir, config)
    run_folder.check_free(run_dir, config)
    history = read_json(run_dir / "history.json", {})
    if not config.is_over(history.get(config.monitor, ())) or not is_complete(config, run_dir):
        return False
    if read_json(run_dir / "config.json").get("data") != config.data:
        run_folder.check_data(run_dir, config, task_of(config).fingerprint())
    return True


def is_complete(config: Config, run_dir: Path) -> bool:
    """Returns whether the results of a run have what follows its last epoch."""
    return set(config.final_results()) <= read_json(run_dir / "metrics.json", {}).keys()


@contextlib.contextmanager
def resumable(run_dir: Path) -> Iterator[None]:
    """Context manager that adds to a KeyboardInterrupt how to resume the run."""
    try:
        yield
    except KeyboardInterrupt as error:
        paths = checkpoints.checkpoints(run_dir / "checkpoints")
        todo = (
            f"resume it from step {checkpoints.step_of(paths[0])}"
            if paths
            else "start it again, as there is no checkpoint yet"
        )
        raise type(error)(
            f"The training was interrupted: run the same command to {todo}. "
            f"Received: run_dir={str(run_dir)!r}"
        ) from error


def compiled_model(config: Config, task: Task, strategy: tf.distribute.Strategy) -> keras.Model:
    """Builds and compiles the model of a task."""
    with strategy.scope():
        model = task.build_model()
        steps = task.steps_per_epoch * config.epochs
        model.compile(optimizer(config, steps, task.multipliers(model)), **task.objectives(model))
    return model


def warn_of_emulation(precision: str) -> None:
    """Prints a warning if the processor has to emulate a precision, and there is no GPU."""
    if emulates(precision) and not tf.config.list_physical_devices("GPU"):
        print(
            f"warning: this processor has no instructions for {precision}, so a step takes "
            "several times as long as with `--precision float32`."
        )


def print_options(options: Mapping[str, Any]) -> None:
    """Prints what was computed from the data, such as class weights."""
    for name, value in options.items():
        text = ", ".join(f"{k} {v:.4g}" for k, v in value.items())
        print(f"{name.replace('_', ' ')}: {text}", flush=True)


def restored_state(
    config: Config,
    task: Task,
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    run_dir: Path,
) -> checkpoints.State:
    """Loads the newest checkpoint into the model, if there is one; all workers must agree on it.

    Raises:
        FileExistsError: if the run is finished and complete.
    """
    strategies.check_agreement(strategy, task.steps_per_epoch, "the number of steps per epoch")
    state = checkpoints.restore(model, run_dir / "checkpoints") or checkpoints.State()
    strategies.check_agreement(strategy, state.step, "the step of the newest checkpoint")
    if is_complete(config, run_dir):
        run_folder.check_unfinished(run_dir, config, state.history.get(config.monitor, ()))
    return state


def set_up(config: Config) -> None:
    """Sets the seed, determinism and precision of this process."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(
        "float32" if config.precision == "float32" else f"mixed_{config.precision}"
    )


def optimizer(
    config: Config,
    steps: int,
    multipliers: Mapping[str, float] | None = None,
    rates: keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> keras_encnet.optimizers.SGD:
    """Returns SGD for `steps` steps with the options of `config`.

    Args:
        config: the recipe.
        steps: number of steps.
        multipliers: as in `SGD`.
        rates: learning rates, by default the schedule of `config` over `steps`.
    """
    return keras_encnet.optimizers.SGD(
        schedule(config, steps) if rates is None else rates,
        momentum=config.momentum,
        l2=config.l2,
        multipliers=multipliers,
        global_clipnorm=config.clip_norm,
        use_ema=config.average_weights is not None,
        ema_momentum=config.average_weights or 0.0,
    )


def schedule(config: Config, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate schedule of `config` over `steps`."""
    rate = config.learning_rate * batch_factor(config)
    warmup = config.warmup(steps)
    if config.schedule == "poly":
        return keras_encnet.optimizers.PolySchedule(rate, steps, config.power, warmup)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=rate, warmup_steps=warmup
    )


def batch_factor(config: Config) -> float:
    """Returns the factor of the learning rate for the batch size of `config`.

    It is linear in the batch size, so that each image contributes as much as in the recipe.
    """
    reference_batch = config.learning_rate_batch
    if reference_batch is None:
        reference_batch = type(config).batch_size
    return config.batch_size / reference_batch
