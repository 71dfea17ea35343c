"""What a recipe consists of."""

import dataclasses
from typing import Literal

# The types of the options that recipes set anew.
Head = Literal["encnet", "fcn"]
Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
Blocks = tuple[int, int, int, int] | None
StrideOn = Literal["1x1", "3x3"] | None
Reduction = Literal["sum", "mean"] | None
Gating = Literal["scale", "residual"] | None
Auxiliary = Literal["variant", "context", "fcn"] | None
Precision = Literal["float32", "bfloat16", "float16"]


@dataclasses.dataclass(frozen=True)
class Config:
    """A recipe. Each field is an option of the command line: `--epochs 8`."""

    # What is trained on.

    data: str = "scenes"
    """A folder data set, or `scenes`, which is generated."""
    train_split: str = "train"
    """The split to learn from; `train+val` joins two."""
    val_split: str = "val"
    """The split to choose the best model by."""
    void: tuple[int, ...] = (255,)
    """The labels that count nowhere."""
    skip_bad: bool = False
    """Leave out images that the check of the data finds wrong, instead of stopping."""

    # The network.

    head: Head = "encnet"
    backbone: Backbone = "resnet50"
    blocks: Blocks = None
    """Blocks per stage, where they aren't the backbone's own."""
    width_multiplier: float = 1.0
    """Scales every width of the backbone."""
    channels: int = 512
    """Width of EncNet's head."""
    output_stride: Literal[8, 16, 32] = 8
    backbone_weights: str | None = "imagenet"
    """`imagenet` (downloads), the path of a `.weights.h5` of Keras Applications, or None."""
    variant: Literal["paper", "official", "mmsegmentation"] = "paper"
    """What the options from here to `dropout` are where they are not given."""
    stem: Literal["plain", "deep_32", "deep_64"] | None = None
    stride_on: StrideOn = None
    reduction: Reduction = None
    gating: Gating = None
    auxiliary: Auxiliary = "variant"
    lateral: bool | None = None
    align_corners: bool | None = None
    dropout: float | None = None
    num_codewords: int = 32
    """0 puts global average pooling in the place of encoding."""
    freeze_backbone_batch_normalization: bool = False
    """Keep the backbone's batch normalisation as the weights brought it."""

    # The loss.

    se_weight: float = 0.2
    """Weight of the SE-loss on each branch; 0 trains without it."""
    auxiliary_weight: float = 0.2
    """Weight of the auxiliary mask on stage 3."""
    class_weights: tuple[float, ...] | None = None

    # The schedule.

    epochs: int = 50
    batch_size: int = 16
    learning_rate: float = 0.001
    """Rate the poly schedule starts from; it falls to 0 over all steps."""
    power: float = 0.9
    warmup_steps: int = 0
    """Steps in which the rate rises linearly."""
    momentum: float = 0.9
    l2: float = 1e-4
    """Coupled decay of all variables, as the paper means weight decay."""
    head_multiplier: float = 1.0
    """Factor of the head's learning rate; 10 in the released code."""

    # Augmentation.

    crop_size: tuple[int, int] = (480, 480)
    """Height and width of the crops."""
    flip: bool = True
    scale: tuple[float, float] = (0.5, 2.0)
    rotation: float = 10.0
    """Largest rotation either way, in degrees."""

    # The run.

    run_dir: str | None = None
    """Where the run is recorded; `runs/<name of the recipe>` by default."""
    overwrite: bool = False
    """Begin anew in a run folder that holds a run already."""
    seed: int = 0
    precision: Precision = "float32"
    """Of the arithmetic; bfloat16 is faster on processors that have it."""
