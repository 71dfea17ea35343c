"""Recipes for scenes, the generated data set."""

import dataclasses

from training.configs import config


@dataclasses.dataclass(frozen=True)
class ScenesEncNet(config.SegmentationConfig):
    """EncNet on a dilated ResNet of one block a stage, on scenes.

    Scenes must keep its size and its borders: only flips augment it. The
    backbone sees 163 pixels, so that no object's name is within its sight.

        python -m training.train scenes_encnet
    """

    data: str = "scenes"
    backbone: config.Backbone = "resnet18"
    blocks: config.Blocks = (1, 1, 1, 1)
    width_multiplier: float = 0.375
    channels: int = 64
    backbone_weights: str | None = None
    stride_on: config.StrideOn = "3x3"
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 0.05
    warmup_steps: int = 32
    crop_size: tuple[int, int] = (64, 224)
    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0


@dataclasses.dataclass(frozen=True)
class ScenesFCN(ScenesEncNet):
    """The FCN baseline of `scenes_encnet`: the same but for the head.

    python -m training.train scenes_fcn
    """

    head: config.Head = "fcn"
