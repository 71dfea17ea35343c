"""Recipes for MSRC-21: 21 classes, 335 images for training, 256 for testing."""

from training.configs.config import Precision
from training.configs.folder import (
    FolderDeepLabV350,
    FolderEncNet50,
    FolderEncNet50Dilated,
    FolderFCN50,
    FolderPSPNet50,
)
from training.configs.registry import recipe


@recipe("msrc21_encnet50")
class MSRC21EncNet50(FolderEncNet50):
    """EncNet50 on MSRC-21, a benchmark for a small budget.

    Trains on train and val together, which leaves no data to select the best model: score the last
    one on test.

        python -m training.train msrc21_encnet50 --data MSRC21
        python -m training.evaluate runs/msrc21_encnet50/last.keras --data MSRC21
    """

    train_split: str = "train+val"
    precision: Precision = "bfloat16"


@recipe("msrc21_encnet50_dilated")
class MSRC21EncNet50Dilated(FolderEncNet50Dilated):
    """EncNet50 on a dilated backbone: `msrc21_encnet50` without its neck.

    python -m training.train msrc21_encnet50_dilated --data MSRC21
    python -m training.evaluate runs/msrc21_encnet50_dilated/last.keras --data MSRC21
    """

    train_split: str = "train+val"
    precision: Precision = "bfloat16"


@recipe("msrc21_fcn50")
class MSRC21FCN50(FolderFCN50):
    """The FCN baseline of `msrc21_encnet50_dilated`: only the head differs.

    python -m training.train msrc21_fcn50 --data MSRC21
    python -m training.evaluate runs/msrc21_fcn50/last.keras --data MSRC21
    """

    train_split: str = "train+val"
    precision: Precision = "bfloat16"


@recipe("msrc21_pspnet50")
class MSRC21PSPNet50(FolderPSPNet50):
    """PSPNet50 with the settings of `msrc21_encnet50_dilated`: only the head differs.

    python -m training.train msrc21_pspnet50 --data MSRC21
    python -m training.evaluate runs/msrc21_pspnet50/last.keras --data MSRC21
    """

    train_split: str = "train+val"
    precision: Precision = "bfloat16"


@recipe("msrc21_deeplabv3_50")
class MSRC21DeepLabV350(FolderDeepLabV350):
    """DeepLabV3_50 with the settings of `msrc21_encnet50_dilated`: only the head differs.

    python -m training.train msrc21_deeplabv3_50 --data MSRC21
    python -m training.evaluate runs/msrc21_deeplabv3_50/last.keras --data MSRC21
    """

    train_split: str = "train+val"
    precision: Precision = "bfloat16"
