"""The recipes by name. A recipe's file is the record of the experiment."""

from training.configs.ade20k import (
    ADE20KFCN50,
    ADE20KEncNet50,
    ADE20KEncNet50Official,
    ADE20KEncNet101,
    ADE20KEncNet101Official,
)
from training.configs.cifar10 import (
    CIFAR10EncNet16k64d,
    CIFAR10EncNet32k128d,
    CIFAR10ResNet64d,
    CIFAR10SEResNet64d,
)
from training.configs.cityscapes import (
    CityscapesEncNet50Official,
    CityscapesEncNet101Official,
)
from training.configs.config import ClassificationConfig, Config, SegmentationConfig
from training.configs.folder import FolderEncNet50, FolderFCN50
from training.configs.msrc21 import MSRC21FCN50, MSRC21EncNet50
from training.configs.pascal_context import (
    PascalContextEncNet50,
    PascalContextEncNet50Official,
    PascalContextEncNet101,
    PascalContextEncNet101Official,
    PascalContextFCN50,
)
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.configs.voc2012 import (
    VOC2012EncNet101,
    VOC2012EncNet101Aug,
    VOC2012EncNet101AugOfficial,
    VOC2012EncNet101COCO,
    VOC2012EncNet101COCOOfficial,
    VOC2012EncNet101Official,
)

RECIPES = {
    "scenes_encnet": ScenesEncNet,
    "scenes_fcn": ScenesFCN,
    "folder_encnet50": FolderEncNet50,
    "folder_fcn50": FolderFCN50,
    "msrc21_encnet50": MSRC21EncNet50,
    "msrc21_fcn50": MSRC21FCN50,
    "pascal_context_encnet50": PascalContextEncNet50,
    "pascal_context_encnet101": PascalContextEncNet101,
    "pascal_context_encnet50_official": PascalContextEncNet50Official,
    "pascal_context_encnet101_official": PascalContextEncNet101Official,
    "pascal_context_fcn50": PascalContextFCN50,
    "ade20k_encnet50": ADE20KEncNet50,
    "ade20k_encnet101": ADE20KEncNet101,
    "ade20k_encnet50_official": ADE20KEncNet50Official,
    "ade20k_encnet101_official": ADE20KEncNet101Official,
    "ade20k_fcn50": ADE20KFCN50,
    "voc2012_encnet101_coco": VOC2012EncNet101COCO,
    "voc2012_encnet101_aug": VOC2012EncNet101Aug,
    "voc2012_encnet101": VOC2012EncNet101,
    "voc2012_encnet101_coco_official": VOC2012EncNet101COCOOfficial,
    "voc2012_encnet101_aug_official": VOC2012EncNet101AugOfficial,
    "voc2012_encnet101_official": VOC2012EncNet101Official,
    "cityscapes_encnet50_official": CityscapesEncNet50Official,
    "cityscapes_encnet101_official": CityscapesEncNet101Official,
    "cifar10_encnet_16k64d": CIFAR10EncNet16k64d,
    "cifar10_encnet_32k128d": CIFAR10EncNet32k128d,
    "cifar10_resnet_64d": CIFAR10ResNet64d,
    "cifar10_se_resnet_64d": CIFAR10SEResNet64d,
}

__all__ = [
    "ADE20KFCN50",
    "MSRC21FCN50",
    "RECIPES",
    "ADE20KEncNet50",
    "ADE20KEncNet50Official",
    "ADE20KEncNet101",
    "ADE20KEncNet101Official",
    "CIFAR10EncNet16k64d",
    "CIFAR10EncNet32k128d",
    "CIFAR10ResNet64d",
    "CIFAR10SEResNet64d",
    "CityscapesEncNet50Official",
    "CityscapesEncNet101Official",
    "ClassificationConfig",
    "Config",
    "FolderEncNet50",
    "FolderFCN50",
    "MSRC21EncNet50",
    "PascalContextEncNet50",
    "PascalContextEncNet50Official",
    "PascalContextEncNet101",
    "PascalContextEncNet101Official",
    "PascalContextFCN50",
    "ScenesEncNet",
    "ScenesFCN",
    "SegmentationConfig",
    "VOC2012EncNet101",
    "VOC2012EncNet101Aug",
    "VOC2012EncNet101AugOfficial",
    "VOC2012EncNet101COCO",
    "VOC2012EncNet101COCOOfficial",
    "VOC2012EncNet101Official",
]
