"""Checkpoints of the complete training state, from which a run resumes bit for bit.

A `.keras` file lacks what this requires: the states of the random generators (of Dropout, of the
stochastic scale), the sums of the current epoch's metrics, and the position in the data. A
checkpoint is one `.npz` file of plain arrays, without pickles. As the batches of `training.input`
are a function of the step number, training after a restore is identical to uninterrupted training.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_encnet.utils.files import atomic_file
from training.run.strategies import is_chief

_NAME = re.compile(r"step-(\d{10})\.npz")


@dataclasses.dataclass
class State:
    """The progress of a training run.

    Attributes:
        step: number of batches trained on.
        epoch: number of finished epochs.
        history: dict of lists, the logs of the finished epochs.
        partial_metrics: sums of the metrics over the epoch in progress, one
            array per metric variable; empty between epochs.
    """

    step: int = 0
    epoch: int = 0
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    partial_metrics: list[np.ndarray] = dataclasses.field(default_factory=list)


def save(model: keras.Model, state: State, directory: Path, keep: int) -> None:
    """Writes a checkpoint atomically and removes all but the newest `keep`.

    Raises:
        OSError: if it cannot be written. Earlier checkpoints are not affected.
        FloatingPointError: if a weight is not finite.
    """
    arrays = {name: _read(variable) for name, variable in _variables(model).items()}
    if not all(np.isfinite(value).all() for value in arrays.values()):
        raise FloatingPointError(
            f"After step {state.step} the weights are not finite and have not been saved. "
            f"{describe_newest(directory)}"
        )
    arrays |= {f"metrics/{i}": value for i, value in enumerate(state.partial_metrics)}
    progress = {"step": state.step, "epoch": state.epoch, "history": state.history}
    path = directory / f"step-{state.step:010}.npz"
    try:
        with atomic_file(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, progress=json.dumps(progress), **arrays)
            file.flush()
            # Without it, the renamed file could be empty after a power failure.
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            error.errno,
            f"The checkpoint of step {state.step} cannot be written: {error.strerror}. "
            f"{describe_newest(directory)} Free disk space, or make the folder writable, and run "
            "the same command again",
            str(path),
        ) from error
    for old in checkpoints(directory)[keep:]:
        old.unlink()


def restore(model: keras.Model, directory: str | os.PathLike) -> State | None:
    """Loads the newest intact checkpoint of a folder into a model.

    Damaged checkpoints are skipped with a warning.

    Args:
        model: a compiled model with the structure of the saved one.
        directory: the folder, which need not exist.

    Returns:
        The `State` to resume from, or None if the folder has no checkpoint.

    Raises:
        ValueError: if all checkpoints are damaged, or belong to another model.
    """
    paths = checkpoints(directory)
    for path in paths:
        try:
            progress, arrays = _load(path)
        except Exception as error:  # damaged files make reading fail in many ways
            warnings.warn(f"Skipping a damaged checkpoint, {path}: {error}", stacklevel=2)
            continue
        count = sum(name.startswith("metrics/") for name in arrays)
        metrics = [arrays.pop(f"metrics/{i}") for i in range(count)]
        _assign(model, arrays, path)
        return State(**progress, partial_metrics=metrics)
    if paths:
        raise ValueError(
            "All checkpoints are damaged. Remove them to start from the beginning. "
            f"Received: directory={str(directory)!r}"
        )
    return None


def checkpoints(directory: str | os.PathLike) -> list[Path]:
    """Returns the paths of the checkpoints in a folder, newest first."""
    directory = Path(directory)
    paths = directory.iterdir() if directory.is_dir() else ()
    return sorted((path for path in paths if _NAME.fullmatch(path.name)), reverse=True)


def step_of(path: Path) -> int:
    """Returns the step of a checkpoint."""
    return int(path.stem.split("-")[1])


def describe_newest(directory: str | os.PathLike) -> str:
    """Returns a sentence about the newest checkpoint in a folder, for error messages."""
    paths = checkpoints(directory)
    if not paths:
        return "There is no earlier checkpoint."
    return f"The last good checkpoint is from step {step_of(paths[0])}."


def read_metrics(model: keras.Model) -> list[np.ndarray]:
    """Returns the sums of the metrics so far, one array per variable."""
    return [_read(variable) for variable in model.metrics_variables]


def add_metrics(model: keras.Model, values: list[np.ndarray]) -> None:
    """Adds sums to those of the metrics. Exact, as each is a sum to which one step was added."""
    if not is_chief(model.distribute_strategy):
        return  # the sums over all workers
    for variable, value in zip(model.metrics_variables, values, strict=True):
        first_replica = model.distribute_strategy.experimental_local_results(variable.value)[0]
        first_replica.assign_add(value)


def _load(path):
    # Reading every array verifies every checksum.
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("progress"))), arrays


def _variables(model):
    """Returns everything that training changes, except metrics, by names that are reproducible.

    Not by path, which numbers the random generators consecutively in each process.
    """
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    return {
        f"{group}/{i}": variable
        for group, variables in groups.items()
        for i, variable in enumerate(variables)
    }


def _assign(model, arrays, path):
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
    variables = _variables(model)
    for name in sorted(variables.keys() | arrays.keys()):
        expected = variables[name].shape if name in variables else "nothing"
        found = arrays[name].shape if name in arrays else "nothing"
        if expected != found:
            raise ValueError(
                "The checkpoint belongs to another model or another optimizer: at "
                f"{getattr(variables.get(name), 'path', name)!r} the model has {expected} and the "
                f"checkpoint {found}. Received: {str(path)!r}"
            )
    for name, value in arrays.items():
        variables[name].assign(value)


def _read(variable):
    return np.array(tf.convert_to_tensor(variable.value))
