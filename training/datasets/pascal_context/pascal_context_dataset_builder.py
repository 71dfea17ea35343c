"""PASCAL-Context with the 59 classes of the published results."""

import numpy as np

from keras_encnet import labels
from training.datasets.segmentation_builder import (
    Archive,
    SegmentationBuilder,
    example,
    read_ids,
    read_mask_of,
    read_mat,
)
from training.input.folder import IGNORED

# The annotators used 459 labels. These are the 59 evaluated ones, in ascending order, which is the
# order of their names; all others are background, which is ignored.
LABELS = (
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113),
    *(115, 144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324),
    *(326, 347, 349, 354, 355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458),
)
MAX_LABEL = 459
IDS = np.full(MAX_LABEL + 1, IGNORED, "uint8")
IDS[list(LABELS)] = range(len(LABELS))


class Builder(SegmentationBuilder):
    """Builds `pascal_context`: 4,998 training and 5,105 validation images."""

    CLASS_NAMES = tuple(labels.PASCAL_CONTEXT)
    COUNTS = {"train": 4998, "validation": 5105}
    HOMEPAGE = "https://cs.stanford.edu/~roozbeh/pascal-context"
    ARCHIVES = {
        "voc": Archive(
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2010/VOCtrainval_03-May-2010.tar",
            "VOCdevkit/VOC2010",
            "md5",
            "da459979d0c395079b5c75ee67908abb",
        ),
        # No hash is published.
        "labels": Archive(
            "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz", "trainval"
        ),
    }

    def _split_generators(self, dl_manager):
        voc, masks = self.fetch(dl_manager, "voc"), self.fetch(dl_manager, "labels")
        return {
            "train": self._generate_examples(voc, masks, "train"),
            "validation": self._generate_examples(voc, masks, "val"),
        }

    def _generate_examples(self, voc, masks, part):
        for image_id in read_ids(voc / "ImageSets" / "Main" / f"{part}.txt"):
            mask = read_mask_of(image_id, masks / f"{image_id}.mat", read_labels)
            path = voc / "JPEGImages" / f"{image_id}.jpg"
            yield image_id, example(image_id, path, mask, len(self.CLASS_NAMES))


def read_labels(path):
    """Reads one of the `.mat` files: class ids and 255 (ignored), `(height, width)`."""
    found = read_mat(path)["LabelMap"]
    if found.max(initial=0) > MAX_LABEL:
        raise ValueError(f"Labels must be 0 to {MAX_LABEL}. Received: {found.max()}")
    return IDS[found]
