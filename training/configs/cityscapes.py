"""Recipes for Cityscapes: 19 classes, 2,975 images for training, 500 for validation.

    python -m training.prepare cityscapes data/cityscapes --manual-dir FOLDER

The paper has no experiment on Cityscapes. These are the values of the official code, at the sizes
that its author recommends. No score of theirs is published: the corresponding networks of
mmsegmentation reach 77.94 % (ResNet-50) and 78.55 % (ResNet-101) mean IoU on `val`, single scale,
after 80,000 steps of 8 crops of 512x1024. Neither recipe was run in full here.
"""

import dataclasses

from training.configs.registry import recipe
from training.configs.segmentation import SegmentationConfig, WorkingSize


@recipe("cityscapes_encnet50_official")
class CityscapesEncNet50Official(SegmentationConfig):
    r"""EncNet50 on Cityscapes with the structure and values of the official code.

    The learning rate is that of its script for several machines; the other script has 0.004. Cost:
    44,400 steps of 16 crops of 768x768.

        python -m keras_encnet.pytorch.convert resnet50s.zip resnet50s.keras
        python -m training.train cityscapes_encnet50_official \
            --data data/cityscapes --start-from resnet50s.keras
        python -m training.evaluate runs/cityscapes_encnet50_official/last.keras \
            --data data/cityscapes --split val --multi-scale --crop-size 768
    """

    data: str = "data/cityscapes"
    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field()  # required
    variant: str = "official"
    epochs: int = 240
    learning_rate: float = 0.01
    head_multiplier: float = 10.0
    crop_size: tuple[int, int] | None = (768, 768)
    working_size: WorkingSize = 2048
    rotation: float = 0.0


@recipe("cityscapes_encnet101_official")
class CityscapesEncNet101Official(CityscapesEncNet50Official):
    r"""EncNet101 on Cityscapes, otherwise as `cityscapes_encnet50_official`.

    python -m training.train cityscapes_encnet101_official \
        --data data/cityscapes --start-from resnet101s.keras
    """

    backbone: str = "resnet101"
