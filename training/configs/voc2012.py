"""Recipes for PASCAL VOC 2012: 21 classes, fine-tuned in stages.

    python -m training.prepare voc2012 data/voc2012
    python -m training.prepare coco_voc data/coco_voc
    python -m training.finetune voc2012_encnet101 --data data/voc2012 --coco data/coco_voc
    python -m training.submit_voc runs/voc2012_encnet101/3_train/last.keras VOCdevkit/VOC2012

A network is trained on COCO (optionally), then on `trainaug`, then on the `train` split of VOC;
each stage starts from the last model of the previous one. Expected of EncNet101 on the test images,
from the server, multi-scale: 82.9 % mean IoU without COCO, 85.9 % with it. Scores on `val` are not
published.

The paper does not state the number of epochs on COCO, the base size of the random scale, the crop
size or a factor for the learning rate of the head: 30, 520, 480 and 10 are those of the official
code. Its list for `trainaug` contains images of `val`; the one here does not. None of these recipes
was run in full here.
"""

import dataclasses

from training.configs.registry import recipe
from training.configs.segmentation import SegmentationConfig, WorkingSize


@recipe("voc2012_encnet101_aug")
class VOC2012EncNet101Aug(SegmentationConfig):
    """EncNet101 on `trainaug`, the first stage without COCO, as in the paper.

    Cost: 33,050 steps of 16 crops.

        python -m training.train voc2012_encnet101_aug --data data/voc2012
    """

    data: str = "data/voc2012"
    train_split: str = "trainaug"
    variant: str = "paper"
    backbone: str = "resnet101"
    epochs: int = 50
    learning_rate: float = 0.001
    head_multiplier: float = 10.0
    crop_size: tuple[int, int] | None = (480, 480)
    working_size: WorkingSize = 520


@recipe("voc2012_encnet101_coco")
class VOC2012EncNet101COCO(VOC2012EncNet101Aug):
    """EncNet101 on the images of COCO with classes of VOC, the stage before `trainaug`.

    Cost: 30 epochs. The paper gives the number of images as 6.5 thousand, others as 92.5 thousand.

        python -m training.train voc2012_encnet101_coco --data data/coco_voc
    """

    data: str = "data/coco_voc"
    train_split: str = "train"
    epochs: int = 30
    learning_rate: float = 0.01


@recipe("voc2012_encnet101")
class VOC2012EncNet101(VOC2012EncNet101Aug):
    r"""EncNet101 on the `train` split of VOC, the last stage.

    The learning rate is that of the author's commands. Cost: 4,550 steps of 16 crops.

        python -m training.train voc2012_encnet101 --data data/voc2012 \
            --start-from runs/voc2012_encnet101_aug/last.keras
    """

    train_split: str = "train"
    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field()  # required
    learning_rate: float = 0.0001


@recipe("voc2012_encnet101_aug_official")
class VOC2012EncNet101AugOfficial(VOC2012EncNet101Aug):
    r"""EncNet101 on `trainaug` with the structure and values of the official code.

    Differs from `voc2012_encnet101_aug` in the structure (`variant`, with lateral connections),
    which starts from the official code's ResNet-101s; in 80 epochs; and in not rotating images.
    Cost: 52,880 steps.

        python -m keras_encnet.pytorch.convert resnet101s.zip resnet101s.keras
        python -m training.train voc2012_encnet101_aug_official \
            --data data/voc2012 --start-from resnet101s.keras
    """

    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field()  # required
    variant: str = "official"
    lateral: bool | None = True
    epochs: int = 80
    rotation: float = 0.0


@recipe("voc2012_encnet101_coco_official")
class VOC2012EncNet101COCOOfficial(VOC2012EncNet101AugOfficial):
    r"""EncNet101 on COCO with the structure and values of the official code.

    The official code has no lateral connections for COCO but has them for VOC, which leaves these
    layers with random weights; here all three stages have them.

        python -m training.train voc2012_encnet101_coco_official \
            --data data/coco_voc --start-from resnet101s.keras
    """

    data: str = "data/coco_voc"
    train_split: str = "train"
    epochs: int = 30
    learning_rate: float = 0.004


@recipe("voc2012_encnet101_official")
class VOC2012EncNet101Official(VOC2012EncNet101AugOfficial):
    r"""EncNet101 on the `train` split of VOC with the structure and values of the official code.

    python -m training.train voc2012_encnet101_official --data data/voc2012 \
        --start-from runs/voc2012_encnet101_aug_official/last.keras
    """

    train_split: str = "train"
    epochs: int = 50
    learning_rate: float = 0.0001
