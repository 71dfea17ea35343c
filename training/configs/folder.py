"""Recipes for real images in the layout of the folder data set."""

import dataclasses

from training.configs.registry import recipe
from training.configs.segmentation import SegmentationConfig


@recipe("folder_encnet50")
class FolderEncNet50(SegmentationConfig):
    """EncNet50 fine-tuned on a few hundred images of your own, in minutes on two cores.

    An ImageNet ResNet-50 of output stride 8 with frozen batch normalization, small crops, ten
    times the learning rate for the head (as in the official code) and a short warmup. At five
    times this rate, the first steps destroy the ImageNet features. Gates start nearly open, which
    scored one point above FCN50 on both CamVid and MSRC-21.

        python -m training.train folder_encnet50 --data FOLDER
    """

    data: str = dataclasses.field()  # required
    auxiliary: str | None = "none"
    freeze_backbone_batch_normalization: bool = True
    epochs: int = 6
    batch_size: int = 8
    learning_rate: float = 0.001
    head_multiplier: float = 10.0
    presence_multiplier: float | None = 1.0
    gate_bias: float | None = 2.0
    warmup_steps: int = 40
    crop_size: tuple[int, int] = (192, 192)


@recipe("folder_fcn50")
class FolderFCN50(FolderEncNet50):
    """The FCN baseline of `folder_encnet50`: only the head differs.

    python -m training.train folder_fcn50 --data FOLDER
    """

    head: str = "fcn"


@recipe("folder_pspnet50")
class FolderPSPNet50(FolderEncNet50):
    """PSPNet50 with the settings of `folder_encnet50`: only the head differs.

    python -m training.train folder_pspnet50 --data FOLDER
    """

    head: str = "psp"


@recipe("folder_deeplabv3_50")
class FolderDeepLabV350(FolderEncNet50):
    """DeepLabV3_50 with the settings of `folder_encnet50`: only the head differs.

    python -m training.train folder_deeplabv3_50 --data FOLDER
    """

    head: str = "deeplabv3"
