"""The 19 classes of Cityscapes that are scored, from the 34 ids of its files.

TFDS has a builder, `cityscapes/semantic_segmentation`, whose masks hold the latter.
"""

import numpy as np

from keras_encnet import labels
from training.datasets.archives import IGNORED

CLASS_NAMES = tuple(labels.CITYSCAPES)
# The id of each class in the files; all others are void.
FILE_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
IDS = np.full(256, IGNORED, "uint8")
IDS[list(FILE_IDS)] = range(len(FILE_IDS))


def train_ids(mask):
    """Maps the ids of the files, uint8, to the 19 classes and 255 for void.

    >>> train_ids(np.array([7, 8, 9, 33], "uint8")).tolist()
    [0, 1, 255, 18]
    """
    return IDS[mask]
