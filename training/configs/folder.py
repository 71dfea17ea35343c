"""Recipes for real images in the layout of the folder data set."""

import dataclasses

from training.configs import config


@dataclasses.dataclass(frozen=True)
class FolderEncNet50(config.SegmentationConfig):
    """EncNet50 fine-tuned on a few hundred images of your own, in minutes on two cores.

    An ImageNet ResNet-50 at output stride 8 with its batch normalization
    frozen, small crops, ten times the rate for the head (the released code's
    habit) and a short warm-up. At five times this rate the first steps destroy
    the ImageNet features. Gates start nearly open, which was ahead of FCN50 by a
    point on both CamVid and MSRC-21.

        python -m training.train folder_encnet50 --data FOLDER
    """

    data: str = dataclasses.MISSING
    auxiliary: config.Auxiliary = "none"
    freeze_backbone_batch_normalization: bool = True
    epochs: int = 6
    batch_size: int = 8
    learning_rate: float = 0.001
    head_multiplier: float = 10.0
    presence_multiplier: float | None = 1.0
    gate_bias: float | None = 2.0
    warmup_steps: int = 40
    crop_size: tuple[int, int] = (192, 192)


@dataclasses.dataclass(frozen=True)
class FolderFCN50(FolderEncNet50):
    """The FCN baseline of `folder_encnet50`: the same but for the head.

    python -m training.train folder_fcn50 --data FOLDER
    """

    head: config.Head = "fcn"
