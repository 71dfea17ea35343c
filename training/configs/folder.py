"""Recipes for real images in the layout of the folder data set."""

import dataclasses
from typing import Any

import numpy as np

from training.configs.registry import recipe
from training.configs.segmentation import SegmentationConfig, WorkingSize

# The largest automatic working size: the cost of a step grows with its square.
LARGEST_WORKING_SIZE = 320
# Feature maps have an eighth of the size of images.
MULTIPLE = 8


def automatic_working_size(sizes: np.ndarray) -> int:
    """Returns the working size for images of these sizes.

    It is their median long side, or `LARGEST_WORKING_SIZE` if that is less, as a multiple of 8.

    Args:
        sizes: integers `(images, 2)`, heights and widths.
    """
    median = np.median(np.max(sizes, axis=1))
    return _multiple(min(median, LARGEST_WORKING_SIZE))


def automatic_sizes(config: SegmentationConfig, sizes: np.ndarray) -> dict[str, Any]:
    """Returns the working size and the crop size of a recipe for training images of these sizes.

    Crops show most of an image of the median shape, in either direction: padding would change the
    context. At native size, which may be large, they are as large as those for the automatic
    working size.

    Args:
        config: the recipe.
        sizes: integers `(images, 2)`, heights and widths.
    """
    automatic = automatic_working_size(sizes)
    working_size = automatic if config.working_size == "automatic" else config.working_size
    crop_size = config.crop_size
    if crop_size is None:
        side = working_size if isinstance(working_size, int) else automatic
        shape = np.median(sizes / np.max(sizes, axis=1, keepdims=True), axis=0)
        crop_size = tuple(_multiple(config.crop_share * side * share) for share in shape)
    return {"working_size": working_size, "crop_size": crop_size}


def describe_sizes(working_size: int | str, crop_size: tuple[int, int]) -> str:
    """Returns a sentence about the size at which a network sees images."""
    size = "their native size"
    if working_size != "native":
        size = f"a working size of {working_size} pixels on their long side"
    height, width = crop_size
    return f"Images are seen at {size}, in crops of {height} x {width} in training."


def _multiple(side):
    return max(int(side / MULTIPLE + 0.5), 1) * MULTIPLE


@recipe("folder_encnet50_dilated")
class FolderEncNet50Dilated(SegmentationConfig):
    """EncNet50 on a dilated backbone, as in the paper: `folder_encnet50` without its neck.

    An ImageNet ResNet-50 of output stride 8 with frozen batch normalization, images reduced to the
    working size and crops that show most of them, so that the context in training is that of
    whole images, ten times the learning rate for the head (as in the official code) and a short
    warm-up. At five times this rate, the first steps destroy the ImageNet features. Gates start
    nearly open: half open, they halve features and gradients in the few steps of a short training.
    Few images are repeated within an epoch, so that a training run has at least 240 steps.

        python -m training.train folder_encnet50_dilated --data FOLDER
    """

    data: str = dataclasses.field()  # required
    auxiliary: str | None = "none"
    freeze_backbone_batch_normalization: bool = True
    epochs: int = 6
    batch_size: int = 8
    min_epoch_steps: int = 40
    learning_rate: float = 0.001
    head_multiplier: float = 10.0
    presence_multiplier: float | None = 1.0
    gate_bias: float | None = 2.0
    head_kernel: int | None = 3
    warmup_steps: int | None = None
    working_size: WorkingSize = "automatic"
    crop_size: tuple[int, int] | None = None
    crop_share: float = 0.9
    scale: tuple[float, float] = (0.5, 2.0)


@recipe("folder_encnet50")
class FolderEncNet50(FolderEncNet50Dilated):
    """EncNet50 fine-tuned on a few hundred images of your own.

    An ImageNet ResNet-50 with joint pyramid upsampling. It keeps its output stride of 32, and
    computes a quarter of the pixels of a dilated one in stage 3 and a sixteenth in stage 4, so that
    a step takes about 0.7 of the time. All other settings are those of `folder_encnet50_dilated`.
    `--head-kernel 1`, as published, lowers this to half, for a lower score.

        python -m training.train folder_encnet50 --data FOLDER
    """

    neck: str | None = "jpu"


@recipe("folder_fcn50")
class FolderFCN50(FolderEncNet50Dilated):
    """The FCN baseline of `folder_encnet50_dilated`: only the head differs.

    python -m training.train folder_fcn50 --data FOLDER
    """

    head: str = "fcn"


@recipe("folder_pspnet50")
class FolderPSPNet50(FolderEncNet50Dilated):
    """PSPNet50 with the settings of `folder_encnet50_dilated`: only the head differs.

    python -m training.train folder_pspnet50 --data FOLDER
    """

    head: str = "psp"


@recipe("folder_deeplabv3_50")
class FolderDeepLabV350(FolderEncNet50Dilated):
    """DeepLabV3_50 with the settings of `folder_encnet50_dilated`: only the head differs.

    python -m training.train folder_deeplabv3_50 --data FOLDER
    """

    head: str = "deeplabv3"
