"""Recipes for scenes, the generated data set."""

from training.configs.registry import recipe
from training.configs.segmentation import SegmentationConfig


@recipe("scenes_encnet")
class ScenesEncNet(SegmentationConfig):
    """EncNet on a dilated ResNet with one block per stage, on the generated scenes.

    Scenes must keep their size and borders, so flips are the only augmentation. The receptive
    field of the backbone is 163 pixels, too small to include both an object and its band.

        python -m training.train scenes_encnet
    """

    data: str = "scenes"
    backbone: str = "resnet18"
    blocks: tuple[int, int, int, int] | None = (1, 1, 1, 1)
    width_multiplier: float = 0.375
    channels: int | None = 64
    backbone_weights: str | None = None
    stride_on: str | None = "3x3"
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 0.05
    warmup_steps: int | None = 32
    crop_size: tuple[int, int] | None = (64, 224)
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0


@recipe("scenes_fcn")
class ScenesFCN(ScenesEncNet):
    """The FCN baseline of `scenes_encnet`: only the head differs.

    python -m training.train scenes_fcn
    """

    head: str = "fcn"
