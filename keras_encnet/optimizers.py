"""SGD and the poly learning rate schedule, as in the paper."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_encnet.utils import compat


@keras.saving.register_keras_serializable(package="keras_encnet")
class SGD(compat.Optimizer):
    """SGD with momentum, coupled L2 decay and per-layer learning rates.

    The arithmetic is that of `torch.optim.SGD`, for which the recipes were written:

        v = momentum * v + gradient + l2 * w
        w = w - learning_rate * multiplier * v

    `keras.optimizers.SGD` multiplies by the learning rate inside the velocity, which differs
    whenever a schedule changes the rate, and its `weight_decay` is decoupled from the gradient.

    Args:
        learning_rate: Float or `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: Float in [0, 1).
        l2: Float, factor of the L2 decay of all trainable variables, biases and normalization
            included, as in the official code.
        multipliers: Dict from layer names to non-negative factors of their learning rate.
            Layers that are not listed have a factor of 1. Names of layers without trainable
            variables raise a warning.
        name: String, name of the optimizer.
        **kwargs: Arguments of every Keras optimizer, such as `clipnorm` and `use_ema`.

    Raises:
        ValueError: If `momentum`, `l2` or a multiplier is out of range.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01,
        momentum: float = 0.9,
        l2: float = 0.0,
        multipliers: Mapping[str, float] | None = None,
        name: str = "sgd",
        **kwargs: Any,
    ):
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={momentum}")
        if l2 < 0:
            raise ValueError(f"`l2` must not be negative. Received: l2={l2}")
        if multipliers and not min(multipliers.values()) >= 0:
            raise ValueError(
                f"`multipliers` must not be negative. Received: multipliers={multipliers}"
            )
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.l2 = l2
        self.multipliers = dict(multipliers or {})
        self._averaging_deferred = False

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")
        # The path of a variable begins with the name of its layer.
        layers = [variable.path.split("/")[0] for variable in variables]
        self._variable_multipliers = [self.multipliers.get(layer, 1.0) for layer in layers]
        unused = sorted(self.multipliers.keys() - set(layers))
        if unused:
            # Not an error: a model saved before some of its layers were frozen must still load.
            warnings.warn(
                "`multipliers` must name layers that have trainable variables. "
                f"Received: {', '.join(map(repr, unused))}",
                stacklevel=2,
            )

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        gradient = ops.cast(gradient, variable.dtype) + self.l2 * variable
        index = self.index_of(variable)
        velocity = self.velocities[index]
        self.assign(velocity, self.momentum * velocity + gradient)
        rate = ops.cast(learning_rate, variable.dtype) * self._variable_multipliers[index]
        self.assign_sub(variable, rate * velocity)

    # Averaged weights, with `use_ema=True`. `keras.callbacks.SwapEMAWeights` does not do:
    # - It swaps by adding and subtracting, which changed 3,999 of 8,320 weights in their last
    #   bits; a resumed training would not end with identical weights.
    # - It swaps back when the next epoch begins, after checkpoints have been written, and loses
    #   the weights of the last epoch.

    def swap_averages(self, variables: Sequence[keras.Variable]) -> None:
        """Exchanges the values of the trainable `variables` and of their moving averages."""
        for variable, average in zip(variables, self.averages, strict=True):
            value = variable.numpy()
            variable.assign(average.numpy())
            average.assign(value)

    @contextlib.contextmanager
    def deferred_averaging(self, model: keras.Model) -> Iterator[None]:
        """Makes several calls of `fit` one training, with respect to averaged weights.

        Each `fit` ends by replacing the weights by their averages, which the next would then
        train. Within this context the weights stay; at its end they are replaced.
        """
        self._averaging_deferred = True
        try:
            yield
        finally:
            self._averaging_deferred = False
        if self.built:
            self.finalize_variable_values(model.trainable_variables)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        if not self._averaging_deferred:
            super().finalize_variable_values(var_list)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "l2": self.l2,
            "multipliers": self.multipliers,
        }


@keras.saving.register_keras_serializable(package="keras_encnet")
class PolySchedule(keras.optimizers.schedules.PolynomialDecay):
    """The poly schedule, per step, with optional linear warm-up.

        rate(step) = initial_learning_rate * (1 - step / steps) ** power

    multiplied by `(step + 1) / warmup_steps` during the first `warmup_steps`. It is Keras's
    `PolynomialDecay` to 0 plus the warm-up, which Keras lacks.

    Example:

    >>> schedule = PolySchedule(0.01, steps=100, power=1.0, warmup_steps=4)
    >>> [round(float(schedule(step)), 5) for step in (0, 50, 100)]
    [0.0025, 0.005, 0.0]

    Args:
        initial_learning_rate: Float.
        steps: Integer, number of steps until the rate is 0. It stays 0 from then on.
        power: Float above 0; 0.9 in the paper.
        warmup_steps: Integer, number of steps over which the rate rises linearly.

    Raises:
        ValueError: Unless `steps` and `power` are positive and `0 <= warmup_steps < steps`.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        steps: int,
        power: float = 0.9,
        warmup_steps: int = 0,
    ):
        if steps < 1 or not 0 <= warmup_steps < steps:
            raise ValueError(
                "`steps` must be positive, and `warmup_steps` at least 0 and below `steps`. "
                f"Received: steps={steps}, warmup_steps={warmup_steps}"
            )
        if not power > 0:
            raise ValueError(f"`power` must be above 0. Received: power={power}")
        super().__init__(initial_learning_rate, steps, end_learning_rate=0.0, power=power)
        self.warmup_steps = warmup_steps

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        rate = super().__call__(step)
        return rate * ops.minimum((ops.cast(step, rate.dtype) + 1) / max(self.warmup_steps, 1), 1)

    def get_config(self) -> dict:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "steps": self.decay_steps,
            "power": self.power,
            "warmup_steps": self.warmup_steps,
        }


def unwrapped(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns the optimizer inside of a `LossScaleOptimizer`; others as they are."""
    return getattr(optimizer, "inner_optimizer", optimizer)
