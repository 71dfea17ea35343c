"""What a recipe consists of."""

import dataclasses
from typing import Literal

from keras_encnet.models.structure import variant_parts

# What an FCN has no use for.
OF_ENCNET = (
    *(
        "channels",
        "num_codewords",
        "aggregation",
        "codeword_pooling",
        "gating",
        "gate_bias",
        "lateral",
    ),
    *("se_weight", "presence_multiplier", "diagnostics"),
)

# The types of the options that recipes set anew.
Head = Literal["encnet", "fcn"]
Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
Blocks = tuple[int, int, int, int] | None
Variant = Literal["keras_encnet", "paper", "official", "mmsegmentation"]
StrideOn = Literal["1x1", "3x3"] | None
Pooling = Literal["sum", "mean"] | None
Gating = Literal["scale", "residual"] | None
Auxiliary = Literal["context", "fcn", "none"] | None
Network = Literal["resnet14", "se_resnet14", "encnet14"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclasses.dataclass(frozen=True)
class Config:
    """What all recipes have. Each field is an option of the command line: `--epochs 8`."""

    data: str = dataclasses.MISSING
    """What is trained on."""
    train_split: str = "train"
    """The split to learn from."""
    val_split: str = "val"
    """The split to choose the best model by."""

    # The schedule.

    epochs: int = 50
    """The learning rate falls over so many, whatever their number."""
    batch_size: int = 16
    """Images of a step, on all devices together."""
    learning_rate: float = 0.001
    """Rate the schedule starts from, for the recipe's own batch size; it falls to 0 over all
    steps."""
    learning_rate_batch: int | None = None
    """The batch size that the rate is for, if not the recipe's own. The rate grows and falls in
    proportion with the batch size; to take it as it is, give that here, too."""
    schedule: Literal["poly", "cosine"] = "poly"
    power: float = 0.9
    """Of the poly schedule."""
    warmup_steps: int = 0
    """Steps in which the rate rises linearly."""
    momentum: float = 0.9
    l2: float = 1e-4
    """Coupled decay of all variables, as the paper means weight decay."""
    clip_norm: float | None = None
    """Greatest norm of the gradient of all variables together; a longer one is shortened."""
    average_weights: float | None = None
    """Evaluate and save moving averages of the weights, with this momentum, such as 0.999."""

    # The devices.

    strategy: Literal["auto", "one_device", "mirrored", "multi_worker"] = "auto"
    """`auto` takes all GPUs of the machine, or the machines that TF_CONFIG names."""
    cpu_devices: int = 1
    """Split the processor in so many devices, to try `mirrored` without GPUs."""
    precision: Precision = "float32"
    """Of the arithmetic; bfloat16 is faster on processors that have it."""
    deterministic: bool = False
    """Use operations alone that give the same bits each time; slower."""

    # The run.

    run_dir: str | None = None
    """Where the run is recorded; `runs/<name of the recipe>` by default."""
    overwrite: bool = False
    """Begin anew in a run folder that holds a run already. Without it, the same command goes on
    with a run that was interrupted."""
    checkpoint_every: int = 500
    """Steps between the checkpoints that an interrupted run goes on from; each epoch ends with
    one, too."""
    keep_checkpoints: int = 2
    seed: int = 0

    def idle_options(self):
        """Returns the names of the options that do nothing beside the others."""
        return ("power",) if self.schedule == "cosine" else ()


@dataclasses.dataclass(frozen=True)
class SegmentationConfig(Config):
    """A recipe for (image, mask)."""

    data: str = "scenes"
    """A folder data set, or `scenes`, which is generated."""
    train_split: str = "train"
    """The split to learn from; `train+val` joins two."""
    ignore_class: tuple[int, ...] = (255,)
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
    start_from: str | None = None
    """A `.keras` file, such as the last of another run or a converted ResNet. Its weights are
    copied, layer by layer, where names and shapes agree."""
    variant: Variant = "keras_encnet"
    """What the options from here to `dropout` are where they are not given."""
    stem: Literal["plain", "deep_32", "deep_64"] | None = None
    stride_on: StrideOn = None
    aggregation: Pooling = None
    codeword_pooling: Pooling = None
    gating: Gating = None
    gate_bias: float | None = None
    """What the gates' bias starts from: 0 half open, 2 nearly open."""
    auxiliary: Auxiliary = None
    lateral: bool | None = None
    align_corners: bool | None = None
    dropout: float | None = None
    num_codewords: int = 32
    """0 puts global average pooling in the place of encoding."""
    freeze_backbone_batch_normalization: bool = False
    """Keep the backbone's batch normalization as the weights brought it."""

    # The loss.

    se_weight: float = 0.2
    """Weight of the SE-loss on each branch; 0 trains without it."""
    auxiliary_weight: float = 0.2
    """Weight of the auxiliary mask on stage 3."""
    class_weights: tuple[float, ...] | None = None
    head_multiplier: float = 1.0
    """Factor of the head's learning rate; 10 in the released code."""
    presence_multiplier: float | None = None
    """Factor of the learning rate of the presence classifiers; the head's by default."""
    diagnostics: int = 16
    """Validation images on which codewords, gates and presence are looked into after each epoch,
    for TensorBoard and for warnings; 0 for none."""

    # Augmentation.

    crop_size: tuple[int, int] = (480, 480)
    """Height and width of the crops."""
    flip: bool = True
    scale: tuple[float, float] = (0.5, 2.0)
    base_size: int | None = None
    """Long side that images get before they are scaled; their own by default."""
    rotation: float = 10.0
    """Largest rotation either way, in degrees."""

    def idle_options(self):
        idle = super().idle_options()
        auxiliary = self.auxiliary
        if auxiliary is None and self.head == "encnet":
            auxiliary = variant_parts(self.variant)["auxiliary"]
        if auxiliary != "fcn":
            idle += ("auxiliary_weight",)
        if self.head == "fcn":
            idle += OF_ENCNET if auxiliary == "fcn" else (*OF_ENCNET, "auxiliary")
        elif self.num_codewords == 0:
            idle += ("aggregation", "codeword_pooling")
        return idle if self.start_from is None else (*idle, "backbone_weights")


@dataclasses.dataclass(frozen=True)
class ClassificationConfig(Config):
    """A recipe for (image, label)."""

    data: str = "cifar10"
    """A data set of 32x32 images in TensorFlow Datasets: `cifar10` or `cifar100`."""
    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its data; `~/tensorflow_datasets` by default."""
    train_split: str = "train"
    """The split to learn from, also a part of one: `train[:90%]`."""
    val_split: str = "test"
    """The split to choose the best model by, such as `train[90%:]`."""

    # The network.

    network: Network = "encnet14"
    width: int = 64
    """Channels of the first stage."""
    num_codewords: int = 16
    """Of each gate of `encnet14`."""
    stochastic_scale: bool = True
    """Whether `encnet14` draws its smoothing factors anew for each batch."""
    reduction: int = 16
    """Of each gate of `se_resnet14`."""

    # The schedule.

    epochs: int = 600
    batch_size: int = 128
    learning_rate: float = 0.1
    schedule: Literal["poly", "cosine"] = "cosine"
    l2: float = 5e-4

    # Augmentation.

    padding: int = 4
    """Black pixels on each side, from which a crop of the image's size is cut."""
    flip: bool = True

    def idle_options(self):
        gates = {"encnet14": ("num_codewords", "stochastic_scale"), "se_resnet14": ("reduction",)}
        others = [names for network, names in gates.items() if network != self.network]
        return super().idle_options() + sum(others, ())
