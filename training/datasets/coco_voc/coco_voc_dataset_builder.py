"""COCO 2017 with the classes of PASCAL VOC, for pre-training before VOC itself."""

import numpy as np

from keras_encnet import labels
from training.datasets.segmentation_builder import Archive, SegmentationBuilder, example

# COCO's category of each VOC class, background first.
CATEGORIES = (0, 5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72)
# An image is kept if more pixels than this belong to one of the classes.
LEAST_PIXELS = 1000


class Builder(SegmentationBuilder):
    """Builds `coco_voc`: the images of COCO 2017 with enough pixels of the classes of VOC.

    Other categories are background. Where instances overlap, the first
    annotation takes precedence. The paper reports 6.5K images, other work
    with this filter 92.5K, so no count is checked.
    """

    CLASS_NAMES = tuple(labels.VOC)
    COUNTS = {"train": None, "validation": None}
    HOMEPAGE = "https://cocodataset.org"
    ARCHIVES = {
        "train2017": Archive(
            "http://images.cocodataset.org/zips/train2017.zip",
            "train2017",
            "sha256",
            "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        ),
        # No hash is published.
        "val2017": Archive("http://images.cocodataset.org/zips/val2017.zip", "val2017"),
        "annotations": Archive(
            "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
            "annotations",
            "sha256",
            "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        ),
    }

    def _split_generators(self, dl_manager):
        annotations = self.fetch(dl_manager, "annotations")
        return {
            split: self._generate_examples(
                self.fetch(dl_manager, folder), annotations / f"instances_{folder}.json"
            )
            for split, folder in (("train", "train2017"), ("validation", "val2017"))
        }

    def _generate_examples(self, images, annotations):
        from pycocotools.coco import COCO  # only this data set needs it

        coco = COCO(annotations)
        for number in sorted(coco.imgs):
            mask = draw(coco, number)
            if np.count_nonzero(mask) > LEAST_PIXELS:
                path = images / coco.imgs[number]["file_name"]
                yield path.stem, example(path.stem, path, mask, len(self.CLASS_NAMES))


def draw(coco, number):
    """Returns the mask of an image, `(height, width)`, drawn from the outlines of its instances.

    Args:
        coco: a `pycocotools.coco.COCO`.
        number: COCO's id of the image.
    """
    image = coco.imgs[number]
    mask = np.zeros((image["height"], image["width"]), "uint8")
    for annotation in coco.imgToAnns[number]:
        if annotation["category_id"] in CATEGORIES:
            inside = coco.annToMask(annotation).astype(bool)
            mask[inside & (mask == 0)] = CATEGORIES.index(annotation["category_id"])
    return mask
