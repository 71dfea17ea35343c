"""Runs TFDS's own test of builders on the dummy data of each."""

import tensorflow_datasets as tfds

from training.datasets.ade20k import ade20k_dataset_builder
from training.datasets.coco_voc import coco_voc_dataset_builder
from training.datasets.pascal_context import pascal_context_dataset_builder
from training.datasets.voc2012 import voc2012_dataset_builder


class ADE20KTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = ade20k_dataset_builder.Builder
    SPLITS = {"train": 3, "validation": 2}


class PascalContextTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = pascal_context_dataset_builder.Builder
    SPLITS = {"train": 1, "validation": 2}


class VOC2012Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = voc2012_dataset_builder.Builder
    SPLITS = {"train": 2, "sbd": 3, "validation": 1}


class COCOVOCTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = coco_voc_dataset_builder.Builder
    SPLITS = {"train": 2, "validation": 2}
    OVERLAPPING_SPLITS = ["validation"]  # both splits of the dummy data have the same images
