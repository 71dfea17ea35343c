"""The recipes by name. A recipe's file is the record of the experiment."""

from training.configs.cifar10 import (
    CIFAR10EncNet16k64d,
    CIFAR10EncNet32k128d,
    CIFAR10ResNet64d,
    CIFAR10SEResNet64d,
)
from training.configs.config import ClassificationConfig, Config, SegmentationConfig
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
    "cifar10_encnet_16k64d": CIFAR10EncNet16k64d,
    "cifar10_encnet_32k128d": CIFAR10EncNet32k128d,
    "cifar10_resnet_64d": CIFAR10ResNet64d,
    "cifar10_se_resnet_64d": CIFAR10SEResNet64d,
}

__all__ = [
    "MSRC21FCN50",
    "RECIPES",
    "CIFAR10EncNet16k64d",
    "CIFAR10EncNet32k128d",
    "CIFAR10ResNet64d",
    "CIFAR10SEResNet64d",
    "ClassificationConfig",
    "Config",
    "FolderEncNet50",
    "FolderFCN50",
    "MSRC21EncNet50",
    "ScenesEncNet",
    "ScenesFCN",
    "SegmentationConfig",
]
