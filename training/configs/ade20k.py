"""Recipes for ADE20K: 150 classes, 20,210 images for training, 2,000 for validation.

    python -m training.prepare ade20k data/ade20k

Scores are on `val`, multi-scale. The final score of the benchmark is the mean of pixel accuracy and
mean IoU, which `training.evaluate` calls the ADE score. The paper does not state the base size of
the random scale or a factor for the learning rate of the head: 520 (640 with ResNet-101) and 10 are
those of the official code. None of these recipes was run in full here.
"""

import dataclasses

from training.configs.registry import recipe
from training.configs.segmentation import SegmentationConfig, WorkingSize


@recipe("ade20k_encnet50")
class ADE20KEncNet50(SegmentationConfig):
    r"""EncNet50 on ADE20K, as in the paper.

    Expected: 79.73 % pixel accuracy and 41.11 % mean IoU. The author's log of such a run has,
    on center crops, 28 % mean IoU after 30 epochs, 34 % after 70 and 40 % after 120. Cost: 151,560
    steps of 16 crops, 29 hours at the 1.43 steps per second of that log, whose machine is not
    described.

        python -m training.train ade20k_encnet50 --data data/ade20k
        python -m training.evaluate runs/ade20k_encnet50/last.keras \
            --data data/ade20k --split val --multi-scale --absent-classes zero
    """

    data: str = "data/ade20k"
    variant: str = "paper"
    epochs: int = 120
    learning_rate: float = 0.01
    head_multiplier: float = 10.0
    crop_size: tuple[int, int] | None = (480, 480)
    working_size: WorkingSize = 520


@recipe("ade20k_fcn50")
class ADE20KFCN50(ADE20KEncNet50):
    """The FCN baseline of `ade20k_encnet50`: only the head differs.

    Expected: 74.57 % pixel accuracy and 34.38 % mean IoU.

        python -m training.train ade20k_fcn50 --data data/ade20k
    """

    head: str = "fcn"


@recipe("ade20k_encnet101")
class ADE20KEncNet101(ADE20KEncNet50):
    r"""EncNet101 on ADE20K, as in the paper.

    Expected: 81.69 % pixel accuracy and 44.65 % mean IoU; a final score of 0.5567 on the test
    images, from the benchmark's server (trained with `--train-split train+val`). Cost: 151,560
    steps of 16 crops of 576x576.

        python -m training.train ade20k_encnet101 --data data/ade20k
        python -m training.evaluate runs/ade20k_encnet101/last.keras --data data/ade20k \
            --split val --multi-scale --crop-size 576 --absent-classes zero
    """

    backbone: str = "resnet101"
    crop_size: tuple[int, int] | None = (576, 576)
    working_size: WorkingSize = 640


@recipe("ade20k_encnet50_official")
class ADE20KEncNet50Official(ADE20KEncNet50):
    r"""EncNet50 on ADE20K with the structure and values of the official code.

    Differs from `ade20k_encnet50` in the structure (`variant`), which starts from the official
    code's ResNet-50s; in 180 epochs at 0.004 (its script for several machines has 120 at 0.01); and
    in not rotating images. Expected, from its published weights: 80.1 % pixel accuracy and 41.5 %
    mean IoU. Cost: 227,340 steps.

        python -m keras_encnet.pytorch.convert resnet50s.zip resnet50s.keras
        python -m training.train ade20k_encnet50_official \
            --data data/ade20k --start-from resnet50s.keras
        python -m training.evaluate runs/ade20k_encnet50_official/last.keras \
            --data data/ade20k --split val --multi-scale --absent-classes zero
    """

    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field()  # required
    variant: str = "official"
    epochs: int = 180
    learning_rate: float = 0.004
    rotation: float = 0.0


@recipe("ade20k_encnet101_official")
class ADE20KEncNet101Official(ADE20KEncNet50Official):
    r"""EncNet101 on ADE20K with the structure and values of the official code.

    Expected, from its published weights: 81.3 % pixel accuracy and 44.4 % mean IoU. Otherwise as
    `ade20k_encnet50_official`, from ResNet-101s, with base size 640 and crops of 576x576.

        python -m training.train ade20k_encnet101_official \
            --data data/ade20k --start-from resnet101s.keras
        python -m training.evaluate runs/ade20k_encnet101_official/last.keras --data data/ade20k \
            --split val --multi-scale --crop-size 576 --absent-classes zero
    """

    backbone: str = "resnet101"
    crop_size: tuple[int, int] | None = (576, 576)
    working_size: WorkingSize = 640
