"""ADE20K with the 150 classes of its scene parsing benchmark."""

import numpy as np

from keras_encnet import labels
from training.datasets.segmentation_builder import (
    Archive,
    SegmentationBuilder,
    example,
    read_mask_of,
)
from training.input.folder import IGNORED
from training.input.image_files import read_mask

# In the files 0 is "other" and 1 to 150 are the classes.
IDS = np.array([IGNORED, *range(150)], "uint8")


class Builder(SegmentationBuilder):
    """Builds `ade20k`: 20,210 training and 2,000 validation images."""

    CLASS_NAMES = tuple(labels.ADE20K)
    COUNTS = {"train": 20210, "validation": 2000}
    HOMEPAGE = "http://sceneparsing.csail.mit.edu"
    ARCHIVES = {
        "data": Archive(
            "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
            "ADEChallengeData2016",
            "sha1",
            "219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
        )
    }

    def _split_generators(self, dl_manager):
        root = self.fetch(dl_manager, "data")
        return {
            "train": self._generate_examples(root, "training"),
            "validation": self._generate_examples(root, "validation"),
        }

    def _generate_examples(self, root, part):
        for image_path in sorted((root / "images" / part).glob("*.jpg")):
            image_id = image_path.stem
            path = root / "annotations" / part / f"{image_id}.png"
            mask = read_mask_of(image_id, path, read_mask)
            # An id above 150 stays as it is, and `example` raises an error for it.
            mask = np.where(mask <= 150, IDS[np.minimum(mask, 150)], mask)
            yield image_id, example(image_id, image_path, mask, len(self.CLASS_NAMES))
