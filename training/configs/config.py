"""Options of the recipes for all tasks, and their checks.

A recipe is a frozen data class. Each field is an option of the command line, such as `--epochs 8`.
The classes that a recipe inherits from are the groups of its options in the help.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import tyro

from keras_encnet.utils.checks import Range
from training import cli

Precision = Literal["float32", "bfloat16", "float16"]
Decay = Literal["poly", "cosine"]
# Automatic warm-up: one in this many of all steps, but no more than this number of steps.
WARMUP_PART, WARMUP_LIMIT = 6, 40
# Fewer steps or images than these are worth a warning.
FEW_STEPS, FEW_IMAGES = 100, 50
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
AtLeast0, AtLeast1, Positive = Range(0), Range(1), Range(0, open=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """Optimizer, learning rate and number of steps."""

    epochs: Annotated[int, AtLeast1] = 50
    """Number of epochs; the schedule always spans all of them."""
    batch_size: Annotated[int, AtLeast1] = 16
    """Images per step, on all devices together."""
    min_epoch_steps: Annotated[int, AtLeast1] = 1
    """Least number of steps per epoch; an epoch has smaller splits several times."""
    learning_rate: Annotated[float, AtLeast0] = 0.001
    """Initial learning rate, for the batch size of the recipe."""
    learning_rate_batch: Annotated[int | None, AtLeast1] = None
    """Batch size that the learning rate is for; it is scaled linearly. By default the recipe's."""
    schedule: Decay = "poly"
    """Decay of the learning rate to 0 over all steps."""
    power: float = 0.9
    """Exponent of the poly schedule."""
    warmup_steps: Annotated[int | None, AtLeast0] = 0
    """Initial steps in which the learning rate rises; None: a sixth of all steps, at most 40."""
    momentum: float = 0.9
    """Momentum of SGD."""
    l2: float = 1e-4
    """Weight decay of all variables, added to the gradient, as in the paper."""
    clip_norm: Annotated[float | None, Positive] = None
    """Maximum global norm of the gradient. Not clipped by default."""
    average_weights: Annotated[float | None, Range(0, 1, open=True)] = None
    """Evaluate and save moving averages of the weights with this momentum, such as 0.999."""
    early_stopping: Annotated[int | None, AtLeast1] = None
    """Stop when the validation score has not improved for this many epochs."""

    def steps_per_epoch(self, images: int) -> int:
        """Returns the number of steps per epoch for a number of training images.

        These are its full batches, and at least `min_epoch_steps`: how long to train a new head
        hardly depends on the number of images, so an epoch has a few images several times.
        """
        return max(images // self.batch_size, self.min_epoch_steps)

    def is_over(self, scores: Sequence[float]) -> bool:
        """Returns whether a training run ends after epochs with these validation scores."""
        since_best = len(scores) - 1 - scores.index(max(scores)) if scores else 0
        stops = self.early_stopping is not None and since_best >= self.early_stopping
        return stops or len(scores) >= self.epochs

    def warmup(self, steps: int) -> int:
        """Returns the number of warm-up steps in a training run of `steps` steps.

        Raises:
            ValueError: if `warmup_steps` is not below `steps`.
        """
        if self.warmup_steps is None:
            return min(WARMUP_LIMIT, steps // WARMUP_PART)
        if self.warmup_steps >= steps:
            raise ValueError(
                "The warm-up must be shorter than the training. Lower `--warmup-steps`, pass "
                "`--warmup-steps None` for a share of the steps, or raise `--epochs`. "
                f"Received: warmup_steps={self.warmup_steps} of {steps} steps"
            )
        return self.warmup_steps

    def describe_steps(self, images: int) -> str:
        """Describes a training run on this many images: its steps, and warnings if these are few.

        Raises:
            ValueError: as `warmup`.
        """
        per_epoch = self.steps_per_epoch(images)
        steps = per_epoch * self.epochs
        lines = [
            f"{images} images in batches of {self.batch_size}; steps: {per_epoch} per epoch, "
            f"{steps} in all, {self.warmup(steps)} of them warm-up."
        ]
        if 2 * self.warmup(steps) > steps:
            lines.append(
                "warning: the warm-up takes most of the steps. Lower `--warmup-steps`, or raise "
                "`--epochs`."
            )
        if steps < FEW_STEPS:
            lines.append(
                f"warning: {steps} steps hardly train a new head, so expect low scores. Raise "
                "`--epochs`, or lower `--batch-size`."
            )
        if images < FEW_IMAGES:
            lines.append(
                f"warning: with {images} images, expect scores that depend on the choice of the "
                "images and on the seed. Compare several seeds before you draw conclusions."
            )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Devices:
    """Devices, precision and determinism."""

    strategy: Literal[STRATEGIES] = "auto"  # type: ignore[valid-type]
    """Distribution strategy; auto uses all GPUs of the machine, or the machines in TF_CONFIG."""
    cpu_devices: int = 1
    """Number of logical devices to split the CPU into, to test `mirrored` without GPUs."""
    precision: Precision = "float32"
    """Precision of the computation. bfloat16 is faster on recent GPUs and on processors with
    AVX512-BF16 or AMX, and several times slower on other processors."""
    deterministic: bool = False
    """Use deterministic operations only, which is slower."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Run folder, checkpoints and seed."""

    run_dir: str | None = None
    """Run folder, by default `runs/RECIPE`."""
    overwrite: bool = False
    """Start from scratch instead of resuming the run in the run folder."""
    checkpoint_every: int = 500
    """Steps between checkpoints, in addition to one at the end of each epoch."""
    keep_checkpoints: int = 2
    """Number of newest checkpoints to keep."""
    callback: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A function `MODULE:FUNCTION` of the recipe and the run folder that returns a Keras callback;
    may be repeated."""
    seed: int = 0
    """Seed of initial weights, order of images and augmentation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Schedule, Devices, Run):
    """A recipe for any task."""

    monitor = ""  # name of the validation score that selects the best model

    def automatic_options(self) -> set[str]:
        """Returns the names of the options whose values depend on the data."""
        return set()

    def idle_options(self) -> set[str]:
        """Returns the names of the options that have no effect, given the values of the others."""
        return {"power"} if self.schedule == "cosine" else set()

    def final_results(self) -> tuple[str, ...]:
        """Returns the keys that `metrics.json` has once a run is complete."""
        return ()

    def changed(self, names: Iterable[str]) -> dict[str, Any]:
        """Returns those of these options that differ from the recipe, with their values."""
        values = {name: getattr(self, name) for name in names}
        return {name: v for name, v in values.items() if v != getattr(type(self), name)}

    def check(self) -> None:
        """Raises ValueError for a value out of range, or an option given without effect."""
        for name, kind in cli.declarations(type(self)).items():
            value = getattr(self, name)
            for allowed in getattr(kind, "__metadata__", ()):
                if isinstance(allowed, Range) and value is not None and value not in allowed:
                    option = name.replace("_", "-")
                    raise ValueError(f"`--{option}` must be {allowed}. Received: {name}={value}")
        names = [field.name for field in dataclasses.fields(self)]
        idle = self.idle_options()
        cli.refuse(self.changed(name for name in names if name in idle), "in this recipe")
