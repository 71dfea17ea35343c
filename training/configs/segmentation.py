"""Options of the recipes for segmentation."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from keras_encnet.backbones import BACKBONES, BASIC_BLOCKS
from keras_encnet.backbones.keras_applications import NETWORKS
from keras_encnet.layers import ImageNormalization
from keras_encnet.losses import PIXEL_LOSSES, build_pixel_loss
from keras_encnet.models.segmentation import HEADS
from keras_encnet.models.structure import (
    OPTIONS,
    VARIANTS,
    Option,
    options_of,
    resolve,
    without_effect,
)
from keras_encnet.utils.checks import Range
from keras_encnet.utils.sizes import checked_working_size
from training.configs.config import AtLeast0, AtLeast1, Config, Positive
from training.configs.photometric import Photometric

# Key in `metrics.json` of what is recorded about the calibration of the presence branches.
PRESENCE_CALIBRATION = "presence_calibration"
# The options about the images that their files determine.
IMAGES = ("image_channels", "mean", "std")
ClassWeights = Literal["balanced", "median_frequency"]
WorkingSize = int | Literal["native", "automatic"]

_VARIANT = tyro.conf.arg(
    help="Preset for the structural options below: "
    + "; ".join(f"{variant}, {description}" for variant, description in VARIANTS.items())
    + "."
)
_PIXEL_LOSS = tyro.conf.arg(metavar="{" + ",".join(PIXEL_LOSSES) + "}[+...]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Data set and splits."""

    data: str = "scenes"
    """Folder data set, or `scenes`, which is generated."""
    train_split: str = "train"
    """Training split; `train+val` joins two."""
    val_split: str = "val"
    """Validation split, which selects the best model."""
    val_share: Annotated[float | None, Range(0, 1, open=True)] = None
    """Validate on this share of the training split, such as 0.2, and train on the rest."""
    ignore_class: tuple[int, ...] = (255,)
    """Labels ignored in loss and metrics."""
    map_labels: tuple[str, ...] = ()
    """Labels in the masks and those that replace them; `255:1` for masks of 0 and 255."""
    allow_absent_classes: bool = False
    """Train although a class has no pixel in the training split."""
    skip_bad: bool = False
    """Skip images that fail the data check, instead of stopping."""
    image_channels: Annotated[int | None, AtLeast1] = None
    """Channels of the images, by default as many as all of them have; 3 if gray, RGB and RGBA files
    are mixed."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel of the images, by default of the training images, for RGB images with 8
    bits of those that the weights were trained on."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel, by default as the mean."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Head, backbone and initial weights."""

    head: Literal[tuple(HEADS)] = "encnet"  # type: ignore[valid-type]
    """Decode head."""
    backbone: Literal[tuple({**BACKBONES, **NETWORKS})] = "resnet50"  # type: ignore[valid-type]
    """A ResNet that can be dilated, or a network of Keras Applications, best with a neck."""
    blocks: tuple[int, int, int, int] | None = None
    """Blocks per stage of a ResNet, by default those of the backbone."""
    width_multiplier: float = 1.0
    """Factor of every width of a ResNet."""
    backbone_weights: str | None = "imagenet"
    """`imagenet` (downloaded), a `.weights.h5` file of Keras Applications, or None (random)."""
    start_from: str | None = None
    """A `.keras` file, whose weights are copied to layers of the same name and shape."""
    freeze_backbone: Annotated[int, AtLeast0] = 0
    """Number of epochs in which the backbone is not trained, batch normalization included."""
    freeze_backbone_batch_normalization: bool = False
    """Do not train batch normalization in the backbone, neither statistics nor parameters."""
    variant: Annotated[Literal[tuple(VARIANTS)], _VARIANT] = "keras_encnet"  # type: ignore


def _field(option: Option) -> tuple[str, Any, None]:
    """Returns the name, annotated type and default value of the field for a structural option."""
    variants: dict[Any, list[str]] = {}
    for variant, value in option.values.items():
        variants.setdefault(value, []).append(variant)
    if len(variants) == 1:
        preset = f"default: {next(iter(variants))}"
    else:
        preset = "; ".join(f"{', '.join(names)}: {value}" for value, names in variants.items())

    def hint(default: str) -> str:
        return f"({preset})" if default == "None" else f"(default: {default})"

    argument = tyro.conf.arg(help=option.help, help_behavior_hint=hint)
    return option.name, Annotated[option.annotation, argument], None


# An option of several heads, with other choices for each, is declared for the first one.
Structure: Any = dataclasses.make_dataclass(
    "Structure",
    [_field(o) for o in {option.name: option for option in reversed(OPTIONS)}.values()][::-1],
    namespace={"__doc__": "Structural options of backbone and head."},
    frozen=True,
    kw_only=True,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """Weights of the losses, learning rates of single layers, and diagnostics."""

    se_weight: float = 0.2
    """Weight of the SE-loss on each branch; 0 disables it."""
    auxiliary_weight: float = 0.2
    """Weight of the loss of the auxiliary mask on stage 3."""
    pixel_loss: Annotated[str, _PIXEL_LOSS] = "cross_entropy"
    """Loss of the masks, or several of them joined with `+`, such as `cross_entropy+dice`."""
    label_smoothing: Annotated[float, Range(0, 1)] = 0.0
    """Part of the cross-entropy's target that is spread evenly over all classes."""
    class_weights: ClassWeights | tuple[float, ...] | None = None
    """Weight of each class in the losses. Equal by default. `balanced` and `median_frequency` are
    computed from the pixels of the training split, for the mask losses."""
    head_multiplier: Annotated[float, AtLeast0] = 1.0
    """Factor of the learning rate of the head; 10 in the official code."""
    presence_multiplier: Annotated[float | None, AtLeast0] = None
    """Factor of the learning rate of the presence classifiers, by default that of the head."""
    calibrate_presence: bool = True
    """At the end of the run, calibrate the presence classifiers on whole images."""
    diagnostics: Annotated[int, AtLeast0] = 16
    """Number of validation images for diagnostics of codewords and gates; 0 disables these."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random crops of the training images."""

    working_size: WorkingSize = "native"
    """Long side to which images are resized before the random scale, and by the trained model:
    pixels; `native`, not at all; or `automatic`, from the training images."""
    crop_size: tuple[int, int] | None = (480, 480)
    """Height and width of the crops. If None, `--crop-share` of those of the images."""
    crop_share: Annotated[float, Positive] = 0.9
    """Share of the median height and width of the images at the working size that crops have."""
    flip: bool = True
    """Flip horizontally at random."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest random scale, relative to the working size."""
    rotation: float = 10.0
    """Largest random rotation in either direction, in degrees."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationConfig(Data, Network, Structure, Loss, Augmentation, Photometric, Config):
    """A recipe for images and masks."""

    monitor = "val_mean_iou"

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the network that take structural options."""
        return ("resnet", self.head) if self.backbone in BACKBONES else (self.head,)

    def structure(self, *parts: str) -> dict[str, Any]:
        """Returns the structural options of these parts, all by default; None: as in the variant.

        Args:
            *parts: some of `parts`.
        """
        return {name: getattr(self, name) for name in options_of(*(parts or self.parts))}

    def images(self) -> dict[str, Any]:
        """Returns the arguments of builders about the images."""
        return {
            "input_shape": (None, None, self.image_channels or 3),
            "mean": self.mean,
            "std": self.std,
        }

    def automatic_options(self) -> set[str]:
        automatic = super().automatic_options()
        automatic |= {name for name in IMAGES if getattr(self, name) is None}
        if self.working_size == "automatic":
            automatic.add("working_size")
        if self.crop_size is None:
            automatic.add("crop_size")
        return automatic

    def check(self) -> None:
        super().check()
        if self.working_size != "automatic":
            checked_working_size(self.working_size)
        if self.crop_size is not None and min(self.crop_size) < 1:
            raise ValueError(
                "`--crop-size` must be a height and a width of at least 1. "
                f"Received: crop_size={self.crop_size}"
            )
        if self.freeze_backbone > self.epochs:
            raise ValueError(
                "`--freeze-backbone` must not exceed `--epochs`. "
                f"Received: freeze_backbone={self.freeze_backbone}, epochs={self.epochs}"
            )
        if self.freeze_backbone and self.start_from is None and self.backbone_weights is None:
            raise ValueError(
                "Only a backbone with trained weights can be frozen: add `--backbone-weights` or "
                f"`--start-from`. Received: freeze_backbone={self.freeze_backbone}"
            )
        ImageNormalization(mean=self.mean, std=self.std)  # raises for invalid numbers
        build_pixel_loss(self.pixel_loss, label_smoothing=self.label_smoothing)
        weights = None if self.backbone_weights == "imagenet" else self.backbone_weights
        for name, path in (("start_from", self.start_from), ("backbone_weights", weights)):
            if path is not None and not Path(path).is_file():  # before all images are read
                raise FileNotFoundError(
                    f"`--{name.replace('_', '-')}`: the file does not exist. "
                    f"Received: {name}={path!r}"
                )

    def idle_options(self) -> set[str]:
        values = resolve(self.parts, self.variant, self.structure())
        idle = super().idle_options() | without_effect(self.parts, self.variant, self.structure())
        if values["auxiliary"] != "fcn":
            idle.add("auxiliary_weight")
        if self.backbone not in BACKBONES:
            idle |= {"blocks", "width_multiplier"}
        if self.backbone not in BASIC_BLOCKS:
            idle.add("second_dilation")
        if self.head != "encnet":  # the others predict no presence
            idle |= {"se_weight", "presence_multiplier", "calibrate_presence", "diagnostics"}
        elif self.se_weight == 0:
            idle |= {"presence_multiplier", "calibrate_presence"}
        if self.start_from is not None:
            idle.add("backbone_weights")
        if self.crop_size is not None:
            idle.add("crop_share")
        if self.val_share is not None:
            idle.add("val_split")
        return idle

    def final_results(self) -> tuple[str, ...]:
        calibrates = self.calibrate_presence and "calibrate_presence" not in self.idle_options()
        return (PRESENCE_CALIBRATION,) if calibrates else ()
