"""Recipes for PASCAL-Context: 59 classes, 4,998 images to learn from, 5,105 to score.

    python -m training.prepare pascal_context data/pascal_context

The paper doesn't state the crop, the size that scaling starts from or a factor for the head's
learning rate: 480, 520 and 10 are the released code's. None of these recipes was run in full here.
Published scores are on `val`; those "with background" are over 60 classes, by arithmetic.
"""

import dataclasses

from training.configs import config


@dataclasses.dataclass(frozen=True)
class PascalContextEncNet50(config.SegmentationConfig):
    r"""EncNet50 on PASCAL-Context, as in the paper's ablation.

    Expected: 79.4 % pixel accuracy and 49.2 % mean IoU, single-scale. The
    backbone is Keras Applications', which strides on the 1x1 convolution. Cost:
    15,600 steps of 16 crops; the author's log of a longer training has 3:49 min
    an epoch, on a machine that it doesn't describe.

        python -m training.train pascal_context_encnet50 --data data/pascal_context
        python -m training.evaluate runs/pascal_context_encnet50/last.keras \
            --data data/pascal_context --split val --absent-classes zero --with-background
    """

    data: str = "data/pascal_context"
    variant: config.Variant = "paper"
    epochs: int = 50
    learning_rate: float = 0.001
    head_multiplier: float = 10.0
    crop_size: tuple[int, int] = (480, 480)
    base_size: int | None = 520


@dataclasses.dataclass(frozen=True)
class PascalContextFCN50(PascalContextEncNet50):
    """The baseline of `pascal_context_encnet50`: the same but for the head.

    Expected: 73.4 % pixel accuracy and 41.0 % mean IoU, single-scale.

        python -m training.train pascal_context_fcn50 --data data/pascal_context
    """

    head: config.Head = "fcn"


@dataclasses.dataclass(frozen=True)
class PascalContextEncNet101(PascalContextEncNet50):
    r"""EncNet101 on PASCAL-Context, the paper's result.

    Expected: 80.4 % pixel accuracy and 51.7 % mean IoU, single-scale; 81.2 %
    and 52.6 % in multi-scale (51.7 % with background). Cost: 15,600 steps of 16
    crops; the author's log has 6:02 min an epoch.

        python -m training.train pascal_context_encnet101 --data data/pascal_context
        python -m training.evaluate runs/pascal_context_encnet101/last.keras \
            --data data/pascal_context --split val \
            --multi-scale --absent-classes zero --with-background
    """

    backbone: config.Backbone = "resnet101"


@dataclasses.dataclass(frozen=True)
class PascalContextEncNet50Official(PascalContextEncNet50):
    r"""EncNet50 on PASCAL-Context with the structure and the values of the released code.

    Differs from `pascal_context_encnet50` in the structure (`variant`, with
    laterals), which starts from the code's own ResNet-50s on ImageNet; in 80
    epochs; and in that nothing is rotated. Expected, as its published weights:
    79.2 % pixel accuracy and 51.0 % mean IoU in multi-scale. Cost: 24,960 steps.

        python -m keras_encnet.pytorch.convert resnet50s.zip resnet50s.keras
        python -m training.train pascal_context_encnet50_official \
            --data data/pascal_context --start-from resnet50s.keras
        python -m training.evaluate runs/pascal_context_encnet50_official/last.keras \
            --data data/pascal_context --split val \
            --multi-scale --absent-classes zero --with-background
    """

    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field(kw_only=True)  # required
    variant: config.Variant = "official"
    lateral: bool | None = True
    epochs: int = 80
    rotation: float = 0.0


@dataclasses.dataclass(frozen=True)
class PascalContextEncNet101Official(PascalContextEncNet50Official):
    r"""EncNet101 on PASCAL-Context with the structure and the values of the released code.

    Expected, as its published weights: 80.7 % pixel accuracy and 54.1 % mean
    IoU in multi-scale. Otherwise as `pascal_context_encnet50_official`, from
    ResNet-101s.

        python -m training.train pascal_context_encnet101_official \
            --data data/pascal_context --start-from resnet101s.keras
    """

    backbone: config.Backbone = "resnet101"
