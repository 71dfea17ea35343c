"""Recipes for PASCAL VOC 2012: 21 classes, fine-tuned in stages.

    python -m training.prepare voc2012 data/voc2012
    python -m training.prepare coco_voc data/coco_voc
    python -m training.finetune voc2012_encnet101 --data data/voc2012 --coco data/coco_voc
    python -m training.submit_voc runs/voc2012_encnet101/3_train/last.keras VOCdevkit/VOC2012

A network learns from COCO (if at all), then from `trainaug`, then from VOC's own `train`; each
stage starts from the last model of the one before. Expected of EncNet101 by the server, on the test
images and in multi-scale: 82.9 % mean IoU without COCO, 85.9 % with it. Scores on `val` are
published nowhere.

The paper doesn't state how long it learns from COCO, the size that scaling starts from, the crop or
a factor for the head's learning rate: 30 epochs, 520, 480 and 10 are the released code's. Its list
for `trainaug` holds images of `val`; the one here doesn't. None of these recipes was run in full
here.
"""

import dataclasses

from training.configs import config


@dataclasses.dataclass(frozen=True)
class VOC2012EncNet101Aug(config.SegmentationConfig):
    """EncNet101 on VOC's `trainaug`, the first stage without COCO, as in the paper.

    Cost: 33,050 steps of 16 crops.

        python -m training.train voc2012_encnet101_aug --data data/voc2012
    """

    data: str = "data/voc2012"
    train_split: str = "trainaug"
    variant: config.Variant = "paper"
    backbone: config.Backbone = "resnet101"
    epochs: int = 50
    learning_rate: float = 0.001
    head_multiplier: float = 10.0
    crop_size: tuple[int, int] = (480, 480)
    base_size: int | None = 520


@dataclasses.dataclass(frozen=True)
class VOC2012EncNet101COCO(VOC2012EncNet101Aug):
    """EncNet101 on COCO's images of VOC's classes, the stage before `trainaug`.

    Cost: 30 times as many steps as its images, which the paper says are 6.5
    thousand and others count as 92.5 thousand, fill batches of 16.

        python -m training.train voc2012_encnet101_coco --data data/coco_voc
    """

    data: str = "data/coco_voc"
    train_split: str = "train"
    epochs: int = 30
    learning_rate: float = 0.01


@dataclasses.dataclass(frozen=True)
class VOC2012EncNet101(VOC2012EncNet101Aug):
    r"""EncNet101 on VOC's own images, the last stage.

    The rate is that of the author's commands. Cost: 4,550 steps of 16 crops.

        python -m training.train voc2012_encnet101 --data data/voc2012 \
            --start-from runs/voc2012_encnet101_aug/last.keras
    """

    train_split: str = "train"
    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field(kw_only=True)  # required
    learning_rate: float = 0.0001


@dataclasses.dataclass(frozen=True)
class VOC2012EncNet101AugOfficial(VOC2012EncNet101Aug):
    r"""EncNet101 on `trainaug` with the structure and the values of the released code.

    Differs from `voc2012_encnet101_aug` in the structure (`variant`, with
    laterals), which starts from the code's own ResNet-101s on ImageNet; in 80
    epochs; and in that nothing is rotated. Cost: 52,880 steps.

        python -m keras_encnet.pytorch.convert resnet101s.zip resnet101s.keras
        python -m training.train voc2012_encnet101_aug_official \
            --data data/voc2012 --start-from resnet101s.keras
    """

    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field(kw_only=True)  # required
    variant: config.Variant = "official"
    lateral: bool | None = True
    epochs: int = 80
    rotation: float = 0.0


@dataclasses.dataclass(frozen=True)
class VOC2012EncNet101COCOOfficial(VOC2012EncNet101AugOfficial):
    r"""EncNet101 on COCO with the structure and the values of the released code.

    The code has no laterals for COCO and then laterals for VOC, which leaves
    these layers at random; here all three stages have them.

        python -m training.train voc2012_encnet101_coco_official \
            --data data/coco_voc --start-from resnet101s.keras
    """

    data: str = "data/coco_voc"
    train_split: str = "train"
    epochs: int = 30
    learning_rate: float = 0.004


@dataclasses.dataclass(frozen=True)
class VOC2012EncNet101Official(VOC2012EncNet101AugOfficial):
    r"""EncNet101 on VOC's own images with the structure and the values of the released code.

    python -m training.train voc2012_encnet101_official --data data/voc2012 \
        --start-from runs/voc2012_encnet101_aug_official/last.keras
    """

    train_split: str = "train"
    epochs: int = 50
    learning_rate: float = 0.0001
