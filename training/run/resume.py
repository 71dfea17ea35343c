"""`model.fit` that continues from a checkpoint, within an epoch as well."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_encnet.optimizers import SGD, unwrapped
from training.run.callbacks import Checkpointing


def fit(
    model: keras.Model,
    batches: Callable[[int], tf.data.Dataset],
    checkpointing: Checkpointing,
    *,
    steps_per_epoch: int,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **arguments: Any,
) -> dict[str, list[float]]:
    """Calls `model.fit` from the state of `checkpointing` to the end of the training.

    The rest of an interrupted epoch is trained by a separate `fit`.

    Args:
        model: a compiled model.
        batches: function from a step number to the infinite data set of the
            batches from that step on.
        checkpointing: a `Checkpointing`.
        steps_per_epoch: number of batches per epoch.
        epochs: total number of epochs, including finished ones.
        callbacks: callbacks that run before `checkpointing`.
        **arguments: other arguments of `model.fit`.

    Returns:
        The history of the complete training, a dict of lists with one value per epoch.

    Raises:
        ValueError: if `steps_per_epoch` differs from that of the finished epochs.
    """
    state = checkpointing.state
    done = state.step - state.epoch * steps_per_epoch
    if not 0 <= done < steps_per_epoch:
        raise ValueError(
            f"The checkpoint of step {state.step} has finished {state.epoch} epochs, which does "
            f"not match {steps_per_epoch} steps per epoch: the data or the batch size have "
            f"changed. Received: steps_per_epoch={steps_per_epoch}"
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
    averages = isinstance(optimizer, SGD)  # the optimizer of all recipes
    with optimizer.deferred_averaging(model) if averages else contextlib.nullcontext():
        if done:
            fit_until(min(state.epoch + 1, epochs), steps_per_epoch - done)
        if not model.stop_training:
            fit_until(epochs, steps_per_epoch)
    return state.history
