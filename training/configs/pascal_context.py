"""Recipes for PASCAL-Context: 59 classes, 4,998 images for training, 5,105 for validation.

    python -m training.prepare pascal_context data/pascal_context

The paper does not state the crop size, the base size of the random scale or a factor for the
learning rate of the head: 480, 520 and 10 are those of the official code. None of these recipes was
run in full here. Published scores are on `val`; those "with background" are over 60 classes,
computed from the others.
"""

import dataclasses

from training.configs.registry import recipe
from training.configs.segmentation import SegmentationConfig, WorkingSize


@recipe("pascal_context_encnet50")
class PascalContextEncNet50(SegmentationConfig):
    r"""EncNet50 on PASCAL-Context, as in the paper's ablation.

    Expected: 79.4 % pixel accuracy and 49.2 % mean IoU, single scale. The backbone is that of Keras
    Applications, with strides on the 1x1 convolutions. Cost: 15,600 steps of 16 crops; the author's
    log of a longer training has 3:49 min per epoch, on a machine that is not described.

        python -m training.train pascal_context_encnet50 --data data/pascal_context
        python -m training.evaluate runs/pascal_context_encnet50/last.keras \
            --data data/pascal_context --split val --absent-classes zero --with-background
    """

    data: str = "data/pascal_context"
    variant: str = "paper"
    epochs: int = 50
    learning_rate: float = 0.001
    head_multiplier: float = 10.0
    crop_size: tuple[int, int] | None = (480, 480)
    working_size: WorkingSize = 520


@recipe("pascal_context_fcn50")
class PascalContextFCN50(PascalContextEncNet50):
    """The FCN baseline of `pascal_context_encnet50`: only the head differs.

    Expected: 73.4 % pixel accuracy and 41.0 % mean IoU, single scale.

        python -m training.train pascal_context_fcn50 --data data/pascal_context
    """

    head: str = "fcn"


@recipe("pascal_context_encnet101")
class PascalContextEncNet101(PascalContextEncNet50):
    r"""EncNet101 on PASCAL-Context, the paper's result.

    Expected: 80.4 % pixel accuracy and 51.7 % mean IoU, single scale; 81.2 % and 52.6 %,
    multi-scale (51.7 % with background). Cost: 15,600 steps of 16 crops; the author's log has 6:02
    min per epoch.

        python -m training.train pascal_context_encnet101 --data data/pascal_context
        python -m training.evaluate runs/pascal_context_encnet101/last.keras \
            --data data/pascal_context --split val \
            --multi-scale --absent-classes zero --with-background
    """

    backbone: str = "resnet101"


@recipe("pascal_context_encnet50_official")
class PascalContextEncNet50Official(PascalContextEncNet50):
    r"""EncNet50 on PASCAL-Context with the structure and values of the official code.

    Differs from `pascal_context_encnet50` in the structure (`variant`, with lateral connections),
    which starts from the official code's ResNet-50s; in 80 epochs; and in not rotating images.
    Expected, from its published weights: 79.2 % pixel accuracy and 51.0 % mean IoU, multi-scale.
    Cost: 24,960 steps.

        python -m keras_encnet.pytorch.convert resnet50s.zip resnet50s.keras
        python -m training.train pascal_context_encnet50_official \
            --data data/pascal_context --start-from resnet50s.keras
        python -m training.evaluate runs/pascal_context_encnet50_official/last.keras \
            --data data/pascal_context --split val \
            --multi-scale --absent-classes zero --with-background
    """

    backbone_weights: str | None = None
    start_from: str | None = dataclasses.field()  # required
    variant: str = "official"
    lateral: bool | None = True
    epochs: int = 80
    rotation: float = 0.0


@recipe("pascal_context_encnet101_official")
class PascalContextEncNet101Official(PascalContextEncNet50Official):
    r"""EncNet101 on PASCAL-Context with the structure and values of the official code.

    Expected, from its published weights: 80.7 % pixel accuracy and 54.1 % mean IoU, multi-scale.
    Otherwise as `pascal_context_encnet50_official`, from ResNet-101s.

        python -m training.train pascal_context_encnet101_official \
            --data data/pascal_context --start-from resnet101s.keras
    """

    backbone: str = "resnet101"
