"""The fit loop: a recipe in, `model.fit`, a run folder out."""

import sys

import keras
import tensorflow as tf

import keras_encnet
from training.run import callbacks, checkpoints, run_folder, strategies
from training.tasks import task_of


def train(config, run_dir):
    """Trains as `config` says and records everything in `run_dir`.

    A run that was interrupted goes on from its newest checkpoint, as if it had never stopped.

    Returns:
        The trained model and its history, a dict of lists, one value an epoch.
    """
    config.check()
    strategy = strategies.choose(config.strategy, config.cpu_devices)
    strategies.check_batch(strategy, config.batch_size)
    run_folder.check_free(run_dir, config)
    set_up(config)
    task = task_of(config)
    steps = task.steps_per_epoch
    with strategy.scope():
        model = task.build_model()
        model.compile(
            optimizer(config, steps * config.epochs, task.multipliers(model)),
            **task.objectives(model),
        )
    task.train_batches(model)
    # Only now, so that what was wrong up to here can be mended and tried again.
    if strategies.is_chief(strategy):
        run_folder.begin(run_dir, config)
    strategies.check_agreement(strategy, steps, "the number of steps per epoch")
    state = checkpoints.restore(model, run_dir / "checkpoints") or checkpoints.State()
    strategies.check_agreement(strategy, state.step, "the step of the newest checkpoint")
    run_folder.check_unfinished(run_dir, state.epoch, config.epochs)
    history = checkpoints.fit(
        model,
        lambda step: strategies.distribute(
            strategy, lambda context: task.train_batches(model, step, context)
        ),
        checkpoints.Checkpointing(
            run_dir / "checkpoints", state, config.checkpoint_every, config.keep_checkpoints
        ),
        epochs=config.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        **strategies.distribute_validation(
            strategy, lambda context: task.val_batches(model, context)
        ),
        callbacks=callbacks.of_run(
            run_dir,
            task,
            state,
            writes=strategies.is_chief(strategy),
            averages=config.average_weights is not None,
        ),
        verbose="auto" if sys.stdout.isatty() else 2,  # a line an epoch in a log
    )
    return model, history


def set_up(config):
    """Sets what TensorFlow and Keras do, for this process, as `config` says."""
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(
        "float32" if config.precision == "float32" else f"mixed_{config.precision}"
    )


def optimizer(config, steps, multipliers=None):
    """SGD with the schedule of `config` over `steps`; multipliers as of `optimizers.SGD`."""
    return keras_encnet.optimizers.SGD(
        schedule(config, steps),
        momentum=config.momentum,
        l2=config.l2,
        multipliers=multipliers,
        global_clipnorm=config.clip_norm,
        use_ema=config.average_weights is not None,
        ema_momentum=config.average_weights or 0.0,
    )


def schedule(config, steps):
    """The learning rate over `steps`, as `config` says."""
    # The linear rule: of twice the batch, each image should move the weights as much as before.
    rated_batch = config.learning_rate_batch
    if rated_batch is None:
        rated_batch = type(config).batch_size
    rate = config.learning_rate * config.batch_size / rated_batch
    if config.schedule == "poly":
        return keras_encnet.optimizers.PolySchedule(rate, steps, config.power, config.warmup_steps)
    if not config.warmup_steps:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        steps - config.warmup_steps,
        warmup_target=rate,
        warmup_steps=config.warmup_steps,
    )
