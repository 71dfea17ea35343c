"""The 19 evaluated classes of Cityscapes, mapped from the 34 ids in its files.

TFDS's own builder, `cityscapes/semantic_segmentation`, keeps the ids of the files.
"""

import numpy as np

from keras_encnet import labels
from training.input.folder import IGNORED

CLASS_NAMES = tuple(labels.CITYSCAPES)
# The id of each class in the files; all other ids are ignored.
FILE_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CLASS_OF_FILE_ID = np.full(256, IGNORED, "uint8")
CLASS_OF_FILE_ID[list(FILE_IDS)] = range(len(FILE_IDS))


def train_ids(mask: np.ndarray) -> np.ndarray:
    """Maps the ids of the files, uint8, to the 19 classes and 255 (ignored).

    >>> train_ids(np.array([7, 8, 9, 33], "uint8")).tolist()
    [0, 1, 255, 18]
    """
    return CLASS_OF_FILE_ID[mask]
