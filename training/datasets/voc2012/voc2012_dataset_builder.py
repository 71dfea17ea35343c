"""PASCAL VOC 2012 segmentation, with the additional annotations of SBD."""

from keras_encnet import labels
from training.datasets.segmentation_builder import (
    Archive,
    SegmentationBuilder,
    example,
    read_ids,
    read_mask_of,
    read_mat,
)
from training.input.image_files import read_mask


class Builder(SegmentationBuilder):
    """Builds `voc2012`: 1,464 training and 1,449 validation images, 9,118 more from SBD.

    The literature's `trainaug`, 10,582 images, is `train+sbd`. SBD also
    annotates images of VOC's validation split, and some scripts train on them.
    Here `sbd` excludes every image of VOC's `train` and `validation`. Its
    masks have no ignored borders.
    """

    CLASS_NAMES = tuple(labels.VOC)
    COUNTS = {"train": 1464, "sbd": 9118, "validation": 1449}
    HOMEPAGE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012"
    ARCHIVES = {
        "voc": Archive(
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            "VOCdevkit/VOC2012",
            "md5",
            "6cd6e144f989b92b3379bac3b3de84fd",
        ),
        "sbd": Archive(
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
            "semantic_contours/benchmark.tgz",
            "benchmark_RELEASE/dataset",
            "md5",
            "82b4d87ceb2ed10f6038a1cba92111cb",
        ),
    }

    def _split_generators(self, dl_manager):
        voc, sbd = self.fetch(dl_manager, "voc"), self.fetch(dl_manager, "sbd")
        lists = voc / "ImageSets" / "Segmentation"
        train, val = read_ids(lists / "train.txt"), read_ids(lists / "val.txt")
        extra = {*read_ids(sbd / "train.txt"), *read_ids(sbd / "val.txt")} - {*train, *val}
        images, bordered = voc / "JPEGImages", voc / "SegmentationClass"
        return {
            "train": self._generate_examples(train, images, bordered, "png", read_mask),
            "sbd": self._generate_examples(sorted(extra), images, sbd / "cls", "mat", read_sbd),
            "validation": self._generate_examples(val, images, bordered, "png", read_mask),
        }

    def _generate_examples(self, image_ids, images, masks, suffix, read):
        for image_id in image_ids:
            mask = read_mask_of(image_id, masks / f"{image_id}.{suffix}", read)
            path = images / f"{image_id}.jpg"
            yield image_id, example(image_id, path, mask, len(self.CLASS_NAMES))


def read_sbd(path):
    """Reads a mask of SBD."""
    return read_mat(path)["GTcls"][0, 0]["Segmentation"]
