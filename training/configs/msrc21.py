"""Recipes for MSRC-21: 21 classes, 335 images to learn from, 256 to score."""

import dataclasses

from training.configs import config
from training.configs.folder import FolderEncNet50, FolderFCN50


@dataclasses.dataclass(frozen=True)
class MSRC21EncNet50(FolderEncNet50):
    """EncNet50 on MSRC-21, the test of a short budget.

    Learns from train and val together, so there is nothing left to choose a
    best model by: score the last one on test. Its gates start at 1/2, which was
    a point ahead of 0.88 here.

        python -m training.train msrc21_encnet50 --data MSRC21
        python -m training.evaluate runs/msrc21_encnet50/last.keras --data MSRC21
    """

    train_split: str = "train+val"
    gate_bias: float | None = 0.0
    precision: config.Precision = "bfloat16"


@dataclasses.dataclass(frozen=True)
class MSRC21FCN50(FolderFCN50):
    """The FCN baseline of `msrc21_encnet50`: the same but for the head.

    python -m training.train msrc21_fcn50 --data MSRC21
    python -m training.evaluate runs/msrc21_fcn50/last.keras --data MSRC21
    """

    train_split: str = "train+val"
    precision: config.Precision = "bfloat16"
