"""SGD as the paper means it."""

import warnings

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_encnet")
class SGD(keras.optimizers.Optimizer):
    """SGD with momentum, coupled L2 decay and learning rates per part of the network.

    The arithmetic is PyTorch's, in which the recipes were written:

        v = momentum * v + gradient + l2 * w
        w = w - rate * multiplier * v

    Keras's own SGD takes the rate inside the velocity, which differs while a
    schedule moves it, and its `weight_decay` is decoupled from the gradient.

    Args:
        learning_rate: a float or a `keras.optimizers.schedules` schedule.
        momentum: 0 up to, but not including, 1.
        l2: factor of the decay of every trainable variable, biases and
            normalization included, as in the released code.
        multipliers: dict from layer names to a factor of their learning rate;
            at least 0; 1 where a layer isn't named. Names of layers that train nothing are
            warned of.
        name: name of the optimizer.
        **kwargs: `clipnorm`, `use_ema` and the like, as of every Keras optimizer.

    Raises:
        ValueError: for a momentum, decay or multiplier outside the above.
    """

    def __init__(
        self, learning_rate=0.01, momentum=0.9, l2=0.0, multipliers=None, name="sgd", **kwargs
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

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")
        # A variable's path begins with the name of its layer.
        layers = [variable.path.split("/")[0] for variable in variables]
        self._multiplier_of = [self.multipliers.get(layer, 1.0) for layer in layers]
        idle = sorted(self.multipliers.keys() - set(layers))
        if idle:
            # No error: a model that was saved with layers frozen since must load.
            warnings.warn(
                "`multipliers` must name layers with trainable variables of their own. "
                f"Received: {', '.join(map(repr, idle))}",
                stacklevel=2,
            )

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype) + self.l2 * variable
        index = self._get_variable_index(variable)
        velocity = self.velocities[index]
        self.assign(velocity, self.momentum * velocity + gradient)
        rate = ops.cast(learning_rate, variable.dtype) * self._multiplier_of[index]
        self.assign_sub(variable, rate * velocity)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "l2": self.l2,
            "multipliers": self.multipliers,
        }


@keras.saving.register_keras_serializable(package="keras_encnet")
class PolySchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The poly schedule per iteration, with linear warm-up as an option.

        rate(t) = initial * (1 - t / steps) ** power

    times `(t + 1) / warmup_steps` during the first `warmup_steps`.

    Example:

    >>> schedule = PolySchedule(0.01, steps=100, power=1.0, warmup_steps=4)
    >>> [round(float(schedule(step)), 5) for step in (0, 50, 100)]
    [0.0025, 0.005, 0.0]

    Args:
        initial_learning_rate: the rate it starts from.
        steps: when it reaches 0; it stays there.
        power: above 0; 0.9 in the paper.
        warmup_steps: steps in which the rate rises linearly; 0 for none.

    Raises:
        ValueError: unless `steps` and `power` are positive and `warmup_steps`
            is from 0 to below `steps`.
    """

    def __init__(self, initial_learning_rate, steps, power=0.9, warmup_steps=0):
        if steps < 1 or not 0 <= warmup_steps < max(steps, 1):
            raise ValueError(
                "`steps` must be positive and `warmup_steps` from 0 to below it. "
                f"Received: steps={steps}, warmup_steps={warmup_steps}"
            )
        if not power > 0:
            raise ValueError(f"`power` must be above 0. Received: power={power}")
        self.initial_learning_rate = initial_learning_rate
        self.steps = steps
        self.power = power
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = self.initial_learning_rate * ops.power(
            ops.maximum(1 - step / self.steps, 0.0), self.power
        )
        return rate * ops.minimum((step + 1) / max(self.warmup_steps, 1), 1.0)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "steps": self.steps,
            "power": self.power,
            "warmup_steps": self.warmup_steps,
        }
