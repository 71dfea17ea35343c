"""The whole state of a training, so that one that was interrupted goes on as if it never stopped.

A `.keras` file lacks what this needs: the states of the random generators (of Dropout, of the
stochastic scale), the sums of the epoch's metrics so far, and where in the data training was. A
checkpoint holds all of them in one file of plain arrays, an `.npz` without pickles. The batches of
`training.input` are a function of the step number, so training after a restore is bit for bit
identical to training without an interruption.
"""

import contextlib
import dataclasses
import json
import os
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.optimizers import SGD, unwrapped
from keras_encnet.utils.files import atomic_file

_NAME = re.compile(r"step-(\d{10})\.npz")


@dataclasses.dataclass
class State:
    """How far a training is. `Checkpointing` moves it along.

    Attributes:
        step: batches trained on.
        epoch: epochs finished.
        history: dict of lists, the logs of the finished epochs.
        partial_metrics: the sums of the metrics over an epoch that is under
            way, one array a variable of the metrics; empty between epochs.
    """

    step: int = 0
    epoch: int = 0
    history: dict = dataclasses.field(default_factory=dict)
    partial_metrics: list = dataclasses.field(default_factory=list)


class Checkpointing(keras.callbacks.Callback):
    """Writes the state of training, every epoch and every so many steps, and keeps the last.

    It belongs behind the callbacks that an epoch's end must have gone through, such as those that
    save the best model: what is interrupted before the checkpoint is written is done again.

    On several machines each worker must have it; the chief writes.

    Args:
        directory: where the checkpoints belong.
        state: the `State` that training goes on from; its beginning by default.
        every_steps: checkpoints within an epoch, too, at the multiples of it.
        keep: how many checkpoints stay.

    Raises:
        OSError: in training, for a checkpoint that can't be written. Earlier ones stay whole.
        FloatingPointError: in training, rather than to save weights that aren't finite.
        ValueError: for an `every_steps` or `keep` below 1.
    """

    def __init__(self, directory, state=None, every_steps=None, keep=3):
        super().__init__()
        for argument, value in (("every_steps", every_steps), ("keep", keep)):
            if value is not None and value < 1:
                raise ValueError(f"`{argument}` must be at least 1. Received: {argument}={value}")
        self.directory = Path(directory)
        self.state = State() if state is None else state
        self.every_steps = every_steps
        self.keep = keep

    def on_train_begin(self, logs=None):
        if _writes(self.model.distribute_strategy):
            for left_by_a_kill in self.directory.glob(".tmp-*-step-*.npz"):
                left_by_a_kill.unlink()

    def on_train_batch_end(self, batch, logs=None):
        self.state.step += 1
        if self.state.partial_metrics:
            _add(self.model, self.state.partial_metrics)
            self.state.partial_metrics = []
        # The last step's checkpoint is that of the epoch.
        within = batch + 1 != self.params["steps"]
        if self.every_steps and self.state.step % self.every_steps == 0 and within:
            metrics = [_read(variable) for variable in self.model.metrics_variables]
            self._write(dataclasses.replace(self.state, partial_metrics=metrics))

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.state.history.setdefault(name, []).append(float(value))
        self.state.epoch = epoch + 1
        self._write(self.state)

    def _write(self, state):
        if not _writes(self.model.distribute_strategy):
            return
        arrays = _arrays(self.model)
        if not all(np.isfinite(value).all() for value in arrays.values()):
            raise FloatingPointError(
                f"After step {state.step} the weights are not finite any more, so they are not "
                f"saved. {describe_newest(self.directory)}"
            )
        arrays |= {f"metrics/{i}": value for i, value in enumerate(state.partial_metrics)}
        progress = {"step": state.step, "epoch": state.epoch, "history": state.history}
        path = self.directory / f"step-{state.step:010}.npz"
        try:
            with atomic_file(path) as temporary:
                _save(temporary, progress, arrays)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The checkpoint of step {state.step} can't be written: {error.strerror}. "
                f"{describe_newest(self.directory)} Make room, or the folder writable, and run "
                "the same command again",
                str(path),
            ) from error
        for old in checkpoints(self.directory)[self.keep :]:
            old.unlink()


def fit(model, batches, checkpointing, *, steps_per_epoch, epochs, callbacks=(), **arguments):
    """Calls `model.fit` from where the state of `checkpointing` is.

    The rest of an interrupted epoch is a `fit` of its own.

    Args:
        model: a compiled model.
        batches: function from the number of a step to the data set of the
            batches from there on, without end.
        checkpointing: a `Checkpointing`.
        steps_per_epoch: batches of an epoch.
        epochs: epochs of the whole training, those already done included.
        callbacks: callbacks that come before `checkpointing`.
        **arguments: further ones of `model.fit`.

    Returns:
        The history of the whole training, a dict of lists, one value an epoch.

    Raises:
        ValueError: if an epoch had another number of steps up to now.
    """
    state = checkpointing.state
    done = state.step - state.epoch * steps_per_epoch
    if not 0 <= done < steps_per_epoch:
        raise ValueError(
            f"The checkpoint of step {state.step} has finished {state.epoch} epochs, which doesn't "
            f"go with {steps_per_epoch} steps per epoch: the data or the batch size are others "
            f"now. Received: steps_per_epoch={steps_per_epoch}"
        )

    def fit_until(end, steps):
        if state.epoch < end:
            model.fit(
                batches(state.step),
                initial_epoch=state.epoch,
                epochs=end,
                steps_per_epoch=steps,
                callbacks=[*callbacks, checkpointing],
                **arguments,
            )

    model.stop_training = False
    optimizer = unwrapped(model.optimizer)
    averaging = isinstance(optimizer, SGD)  # the optimizer of all recipes
    with optimizer.deferred_averaging(model) if averaging else contextlib.nullcontext():
        if done:
            fit_until(min(state.epoch + 1, epochs), steps_per_epoch - done)
        if not model.stop_training:
            fit_until(epochs, steps_per_epoch)
    return state.history


def restore(model, directory):
    """Puts the newest whole checkpoint of a folder into a model.

    A newest one that is damaged is passed over with a warning, and the one before it taken.

    Args:
        model: a compiled model, built as the one that was saved.
        directory: a folder, which may be missing.

    Returns:
        The `State` to give to `Checkpointing`, or None if the folder holds no checkpoint.

    Raises:
        ValueError: if no checkpoint of the folder is whole, or it is of another model.
    """
    paths = checkpoints(directory)
    for path in paths:
        try:
            progress, arrays = _load(path)
        except Exception as error:  # changed bits make reading fail in many ways
            warnings.warn(f"Passing over a damaged checkpoint, {path}: {error}", stacklevel=2)
            continue
        metrics = [arrays.pop(f"metrics/{i}") for i in range(_count(arrays, "metrics"))]
        _assign(model, arrays, path)
        return State(**progress, partial_metrics=metrics)
    if paths:
        raise ValueError(
            "None of the checkpoints can be read. Remove them to begin anew. "
            f"Received: directory={str(directory)!r}"
        )
    return None


def checkpoints(directory):
    """Returns the paths of a folder's checkpoints, the newest first."""
    directory = Path(directory)
    paths = directory.iterdir() if directory.is_dir() else ()
    return sorted((path for path in paths if _NAME.fullmatch(path.name)), reverse=True)


def describe_newest(directory):
    """Returns a sentence about a folder's newest checkpoint."""
    paths = checkpoints(directory)
    if not paths:
        return "There is no earlier checkpoint."
    step = int(_NAME.fullmatch(paths[0].name)[1])
    return f"The last good checkpoint is that of step {step}."


def _save(path, progress, arrays):
    with open(path, "wb") as file:
        np.savez(file, progress=json.dumps(progress), **arrays)
        file.flush()
        # Renamed before its bytes are on the disk, it could be empty after a power cut.
        os.fsync(file.fileno())


def _load(path):
    # Reads every array, and so checks every checksum.
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("progress"))), arrays


def _count(arrays, group):
    return sum(name.startswith(f"{group}/") for name in arrays)


def _variables(model):
    """Returns all that training changes but the metrics, by a name that another process gives too.

    Generators of random numbers are numbered through in each process; hence no paths.
    """
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {
        f"{group}/{i}": variable
        for group, variables in groups.items()
        for i, variable in enumerate(variables)
    }


def _arrays(model):
    return {name: _read(variable) for name, variable in _variables(model).items()}


def _assign(model, arrays, path):
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
    variables = _variables(model)
    for name in sorted(variables.keys() | arrays.keys()):
        there = variables[name].shape if name in variables else "nothing"
        here = arrays[name].shape if name in arrays else "nothing"
        if there != here:
            raise ValueError(
                "The checkpoint is of another model, or of another optimizer: at "
                f"{getattr(variables.get(name), 'path', name)!r} the model has {there} and the "
                f"checkpoint {here}. Received: {str(path)!r}"
            )
    for name, value in arrays.items():
        variables[name].assign(value)


def _read(variable):
    return np.array(tf.convert_to_tensor(variable.value))


def _add(model, values):
    """Adds sums to the metrics: the first summand of a sum may as well be its last, bit for bit."""
    if not _writes(model.distribute_strategy):
        return  # the sum is that of all workers
    for variable, value in zip(model.metrics_variables, values, strict=True):
        first_replica = model.distribute_strategy.experimental_local_results(variable.value)[0]
        first_replica.assign_add(value)


def _writes(strategy):
    return strategy.extended.should_checkpoint
