"""The recipes by name. A recipe's file is the record of the experiment."""

from training.configs.config import Config
from training.configs.folder import FolderEncNet50, FolderFCN50
from training.configs.msrc21 import MSRC21FCN50, MSRC21EncNet50
from training.configs.scenes import ScenesEncNet, ScenesFCN

RECIPES = {
    "scenes_encnet": ScenesEncNet,
    "scenes_fcn": ScenesFCN,
    "folder_encnet50": FolderEncNet50,
    "folder_fcn50": FolderFCN50,
    "msrc21_encnet50": MSRC21EncNet50,
    "msrc21_fcn50": MSRC21FCN50,
}

__all__ = [
    "MSRC21FCN50",
    "RECIPES",
    "Config",
    "FolderEncNet50",
    "FolderFCN50",
    "MSRC21EncNet50",
    "ScenesEncNet",
    "ScenesFCN",
]
