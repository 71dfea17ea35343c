"""Trains a network: a recipe in, `model.fit`, a run folder out.

python -m training.train RECIPE [--option value ...]
python -m training.train --help
python -m training.train RECIPE --help
"""

import sys
from pathlib import Path

import keras

import keras_encnet
from training import callbacks, checkpoints, cli, records
from training.configs import RECIPES
from training.tasks import task_of


def main(arguments=None):
    """Trains the recipe that the command line names."""
    name, config = cli.choose(RECIPES, arguments, prog="python -m training.train")
    with cli.plain_errors():
        train(config, Path(config.run_dir or f"runs/{name}"))


def train(config, run_dir):
    """Trains as `config` says and records everything in `run_dir`.

    A run that was interrupted goes on from its newest checkpoint, as if it had never stopped.

    Returns:
        The trained model and its history, a dict of lists, one value an epoch.
    """
    records.check_free(run_dir, config)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(
        "float32" if config.precision == "float32" else f"mixed_{config.precision}"
    )
    task = task_of(config)
    model = task.build_model()
    steps = task.steps_per_epoch
    model.compile(
        optimizer(config, steps * config.epochs, task.multipliers(model)), **task.objectives(model)
    )
    task.train_batches(model)
    # Only now, so that what was wrong up to here can be mended and tried again.
    records.begin(run_dir, config)
    state = checkpoints.restore(model, run_dir / "checkpoints") or checkpoints.State()
    records.check_unfinished(run_dir, state.epoch, config.epochs)
    history = checkpoints.fit(
        model,
        lambda step: task.train_batches(model, first_step=step),
        checkpoints.Checkpointing(
            run_dir / "checkpoints", state, config.checkpoint_every, config.keep_checkpoints
        ),
        epochs=config.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        validation_data=task.val_batches(model),
        callbacks=callbacks.of_run(run_dir, task.monitor, state) + task.callbacks(run_dir),
        verbose="auto" if sys.stdout.isatty() else 2,  # a line an epoch in a log
    )
    return model, history


def optimizer(config, steps, multipliers=None):
    """SGD with the schedule of `config` over `steps`; multipliers as of `optimizers.SGD`."""
    return keras_encnet.optimizers.SGD(
        schedule(config, steps),
        momentum=config.momentum,
        l2=config.l2,
        multipliers=multipliers,
    )


def schedule(config, steps):
    """The learning rate over `steps`, as `config` says."""
    if config.schedule == "poly":
        return keras_encnet.optimizers.PolySchedule(
            config.learning_rate, steps, config.power, config.warmup_steps
        )
    if not config.warmup_steps:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        steps - config.warmup_steps,
        warmup_target=config.learning_rate,
        warmup_steps=config.warmup_steps,
    )


if __name__ == "__main__":
    main()
