"""Learning rate range test: the loss of a training run whose learning rate grows exponentially.

    python -m training.research.learning_rate RECIPE [--steps 100] [--option value ...]

It takes the recipes and options of `training.train` and trains a network of its own on one device;
the runs of `training.train` are not affected. The method is that of Smith, Cyclical Learning Rates
for Training Neural Networks (2017, arXiv 1506.01186), with the rule of fastai: a tenth of the rate
at which the smoothed loss is lowest.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
from tqdm import tqdm

from keras_encnet.utils.checks import Range
from keras_encnet.utils.files import write_json
from training import cli
from training.configs import RECIPES
from training.configs.config import Positive
from training.figures.curves import save_range_test
from training.run import run_folder
from training.run.environment import environment
from training.run.fit import batch_factor, optimizer, set_up
from training.tasks import task_of

# Momentum of the moving average of the loss.
SMOOTHING = 0.9
# The test ends when the smoothed loss exceeds its minimum by this factor.
DIVERGED = 4.0
# The suggested rate is this part of that of the lowest loss.
MARGIN = 10.0
# Options of a training run that a range test replaces or does without.
WITHOUT_EFFECT = """
    epochs min_epoch_steps learning_rate schedule power warmup_steps average_weights early_stopping
    freeze_backbone callback checkpoint_every keep_checkpoints overwrite strategy cpu_devices
""".split()


@dataclasses.dataclass(frozen=True, kw_only=True)
class RangeTest:
    """Steps and learning rates of the range test."""

    steps: Annotated[int, Range(10)] = 100
    """Number of steps, each with a higher learning rate than the one before."""
    lowest_rate: Annotated[float, Positive] = 1e-6
    """Learning rate of the first step, in the unit of `--learning-rate` of `training.train`."""
    highest_rate: Annotated[float, Positive] = 1.0
    """Learning rate of the last step."""

    def rates(self) -> np.ndarray:
        """Returns the learning rates of all steps."""
        return np.geomspace(self.lowest_rate, self.highest_rate, self.steps)


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """The given learning rates, one per step."""

    def __init__(self, rates: Sequence[float]):
        self.rates = keras.ops.convert_to_tensor(rates, "float32")

    def __call__(self, step: Any) -> Any:
        return keras.ops.take(self.rates, step)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures the loss over the learning rate for the recipe that the command line names."""
    recipes = {name: _with_range_test(recipe) for name, recipe in RECIPES.items()}
    name, config = cli.choose(recipes, arguments, prog="python -m training.research.learning_rate")
    output = Path(config.run_dir or f"runs/{name}-learning-rate")
    with cli.plain_errors():
        rates, losses = measure(config)
        averages = smoothed(losses)
        suggestion, explanation = suggest(rates, averages)
        measured = {"learning_rate": rates, "loss": losses, "smoothed_loss": averages}
        record = {"config": run_folder.describe(config), "suggestion": suggestion, **measured}
        write_json(output / "learning_rate.json", {**record, "environment": environment()})
        save_range_test(output / "learning_rate.png", rates, losses, averages, suggestion)
        print(f"{explanation}\nResults written to {output}")


def _with_range_test(recipe):
    return dataclasses.make_dataclass(
        recipe.__name__,
        [],
        bases=(RangeTest, recipe),
        namespace={"__doc__": recipe.__doc__},
        frozen=True,
        kw_only=True,
    )


def measure(config: Any) -> tuple[list[float], list[float]]:
    """Trains one step at each learning rate, until the loss diverges.

    Args:
        config: a recipe that is a `RangeTest`, too.

    Returns:
        The learning rates, and the loss of the batch of each step before its update.

    Raises:
        ValueError: if options are out of range or have no effect.
    """
    _check(config)
    set_up(config)
    task = task_of(config)
    model, rates = task.build_model(), config.rates()
    schedule = Rates(rates * batch_factor(config))
    model.compile(
        optimizer(config, config.steps, task.multipliers(model), schedule),
        **task.objectives(model),
    )
    losses: list[float] = []
    with task.naming_damaged_files():
        batches = itertools.islice(task.train_batches(), config.steps)
        for batch in tqdm(batches, total=config.steps, unit="step"):
            model.reset_metrics()  # otherwise the loss is the mean of all steps
            loss = float(model.train_on_batch(*batch, return_dict=True)["loss"])
            averages = smoothed([*losses, loss])
            if not np.isfinite(loss) or averages[-1] > DIVERGED * min(averages):
                break
            losses.append(loss)
    return rates[: len(losses)].tolist(), losses


def _check(config):
    config.check()
    if config.lowest_rate >= config.highest_rate:
        raise ValueError(
            "`--lowest-rate` must be below `--highest-rate`. "
            f"Received: lowest_rate={config.lowest_rate}, highest_rate={config.highest_rate}"
        )
    names = [name for name in WITHOUT_EFFECT if hasattr(config, name)]
    cli.refuse(config.changed(names), "in a range test")


def smoothed(losses: Sequence[float]) -> list[float]:
    """Returns moving averages of the losses, whose weights add up to 1 from the first step on.

    >>> [round(loss, 3) for loss in smoothed([2.0, 2.0, 1.0])]
    [2.0, 2.0, 1.631]
    """
    weights = SMOOTHING ** np.arange(len(losses))[::-1]
    return [
        float(np.average(losses[: i + 1], weights=weights[-i - 1 :])) for i in range(len(losses))
    ]


def suggest(rates: Sequence[float], averages: Sequence[float]) -> tuple[float | None, str]:
    """Returns a learning rate, None if the test does not show one, and a sentence about it.

    Args:
        rates: the learning rates of the steps.
        averages: the smoothed losses.
    """
    lowest = int(np.argmin(averages)) if len(averages) else 0
    if lowest == 0:
        return None, (
            "The loss has not fallen at any learning rate: lower `--lowest-rate`, or raise "
            "`--steps`."
        )
    if lowest == len(averages) - 1:
        return None, (
            f"The loss is lowest at the last learning rate, {rates[lowest]:.2g}: raise "
            "`--highest-rate`."
        )
    rate = rates[lowest] / MARGIN
    return rate, (
        f"The smoothed loss is lowest at a learning rate of {rates[lowest]:.2g}. A tenth of it is "
        f"a rate to start with: `--learning-rate {rate:.2g}`."
    )


if __name__ == "__main__":
    main()
