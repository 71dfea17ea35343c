"""Recipes for ADE20K: 150 classes, 20,210 images to learn from, 2,000 to score.

    python -m training.prepare ade20k data/ade20k

Scores are on `val`, in multi-scale; the benchmark's final score is the mean of pixel accuracy and
mean IoU, which `training.evaluate` calls ADE score. The paper doesn't state the size that scaling
starts from or a factor for the head's learning rate: 520 (640 with ResNet-101) and 10 are the
released code's. None of these recipes was run in full here.
"""

import dataclasses

from training.configs import config


@dataclasses.dataclass(frozen=True)
class ADE20KEncNet50(config.SegmentationConfig):
    r"""EncNet50 on ADE20K, as in the paper.

    Expected: 79.73 % pixel accuracy and 41.11 % mean IoU. On the way, by the
    author's log of such a training, on center crops: 28 % mean IoU after 30
    epochs, 34 % after 70, 40 % after 120. Cost: 151,560 steps of 16 crops; the
    same log has 1.43 of them a second, on a machine that it doesn't describe,
    so 29 hours.

        python -m training.train ade20k_encnet50 --data data/ade20k
        python -m training.evaluate runs/ade20k_encnet50/last.keras \
            --data data/ade20k --split val --multi-scale --absent-classes zero
    """

    data: str = "data/ade20k"
    variant: config.Variant = "paper"
    epochs: int = 120
    learning_rate: float = 0.01
    head_multiplier: float = 10.0
    crop_size: tuple[int, int] = (480, 480)
    base_size: int | None = 520


@dataclasses.dataclass(frozen=True)
class ADE20KFCN50(ADE20KEncNet50):
    """The baseline of `ade20k_encnet50`: the same but for the head.

    Expected: 74.57 % pixel accuracy and 34.38 % mean IoU.

        python -m training.train ade20k_fcn50 --data data/ade20k
    """

    head: config.Head = "fcn"


@dataclasses.dataclass(frozen=True)
class ADE20KEncNet101(ADE20KEncNet50):
    r"""EncNet101 on ADE20K, as in the paper.

    Expected: 81.69 % pixel accuracy and 44.65 % mean IoU; on the test images, by
    the benchmark's server, a final score of 0.5567 (learned from
    `--train-split train+val`). Cost: 151,560 steps of 16 crops of 576.

        python -m training.train ade20k_encnet101 --data data/ade20k
        python -m training.evaluate runs/ade20k_encnet101/last.keras --data data/ade20k \
            --split val --multi-scale --base-size 640 --crop-size 576 --absent-classes zero
    """

    backbone: config.Backbone = "resnet101"
    crop_size: tuple[int, int] = (576, 576)
    base_size: int | None = 640


@dataclasses.dataclass(frozen=True)
class ADE20KEncNet50Official(ADE20KEncNet50):
    r"""EncNet50 on ADE20K with the structure and the values of the released code.

    Differs from `ade20k_encnet50` in the structure (`variant`), which starts
    from the code's own ResNet-50s on ImageNet; in 180 epochs at 0.004 (its
    script for several machines has 120 at 0.01); and in that nothing is
    rotated. Expected, as its published weights: 80.1 % pixel accuracy and 41.5
    % mean IoU. Cost: 227,340 steps.

        python -m keras_encnet.pytorch.convert resnet50s.zip resnet50s.keras
        python -m training.train ade20k_encnet50_official \
            --data data/ade20k --start-from resnet50s.keras
        python -m training.evaluate runs/ade20k_encnet50_official/last.keras \
            --data data/ade20k --split val --multi-scale --absent-classes zero
    """

    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field(kw_only=True)  # required
    variant: config.Variant = "official"
    epochs: int = 180
    learning_rate: float = 0.004
    rotation: float = 0.0


@dataclasses.dataclass(frozen=True)
class ADE20KEncNet101Official(ADE20KEncNet50Official):
    r"""EncNet101 on ADE20K with the structure and the values of the released code.

    Expected, as its published weights: 81.3 % pixel accuracy and 44.4 % mean
    IoU. Otherwise as `ade20k_encnet50_official`, from ResNet-101s, at 640 and
    576.

        python -m training.train ade20k_encnet101_official \
            --data data/ade20k --start-from resnet101s.keras
        python -m training.evaluate runs/ade20k_encnet101_official/last.keras --data data/ade20k \
            --split val --multi-scale --base-size 640 --crop-size 576 --absent-classes zero
    """

    backbone: config.Backbone = "resnet101"
    crop_size: tuple[int, int] = (576, 576)
    base_size: int | None = 640
