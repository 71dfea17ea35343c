"""Options of the recipes for classification."""

import dataclasses
from typing import Literal

from training.configs.config import Config, Decay

# The options of each network; the others have no effect.
NETWORKS = {
    "resnet14": (),
    "se_resnet14": ("reduction",),
    "encnet14": ("num_codewords", "stochastic_scale"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Data set and splits."""

    data: str = "cifar10"
    """Data set of 32x32 images in TensorFlow Datasets: `cifar10` or `cifar100`."""
    data_dir: str | None = None
    """Folder of TensorFlow Datasets, by default `~/tensorflow_datasets`."""
    train_split: str = "train"
    """Training split, or a part of it, such as `train[:90%]`."""
    val_split: str = "test"
    """Validation split, which selects the best model, such as `train[90%:]`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Network and its gates."""

    network: Literal[tuple(NETWORKS)] = "encnet14"  # type: ignore[valid-type]
    """Network of 14 layers."""
    width: int = 64
    """Channels of the first stage."""
    num_codewords: int = 16
    """Codewords per gate of encnet14."""
    stochastic_scale: bool = True
    """Draw random smoothing factors for each training batch of encnet14."""
    reduction: int = 16
    """Reduction ratio of the gates of se_resnet14."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random crops of the training images."""

    padding: int = 4
    """Black pixels added on each side before cropping to the original size."""
    flip: bool = True
    """Flip horizontally at random."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationConfig(Data, Network, Augmentation, Config):
    """A recipe for images and labels."""

    monitor = "val_accuracy"
    epochs: int = 600
    batch_size: int = 128
    learning_rate: float = 0.1
    schedule: Decay = "cosine"
    l2: float = 5e-4

    def idle_options(self) -> set[str]:
        taken = set(NETWORKS[self.network])
        return super().idle_options() | {n for ns in NETWORKS.values() for n in ns} - taken
