"""Boundary IoU: the IoU near the contours of masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

# Width of the boundary, as a share of the diagonal of the image: that of the paper for COCO.
RATIO = 0.02


class BoundaryIoU:
    """The IoU of each class near the contours of truth and prediction.

    The boundary of a class in a mask are its pixels within a distance of its contour, of which
    the border of the image is a part. Boundary IoU is the IoU of the boundaries of truth and
    prediction, from pixels summed over all images. Distances are the larger of those along the
    two axes, as in the authors' code.

    Ignored pixels are in no boundary. In the prediction, they are ignored, too, so that the
    contours between them and the classes agree.

    Args:
        classes: number of classes.
        ignore_class: the ignored labels.
        ratio: the distance, as a share of the diagonal of the image; at least 1 pixel.

    References:
        - [Boundary IoU: Improving Object-Centric Image Segmentation
          Evaluation](https://arxiv.org/abs/2103.16562), section 4
    """

    def __init__(self, classes: int, ignore_class: Sequence[int], ratio: float = RATIO):
        self.classes, self.ignore_class, self.ratio = classes, tuple(ignore_class), ratio
        self.intersection, self.union = np.zeros((2, classes), "int64")

    def update(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Adds an image.

        Args:
            truth: labels `(height, width)`.
            predicted: class ids `(height, width)`.
        """
        distance = max(1, round(self.ratio * float(np.hypot(*truth.shape))))
        ignored = np.isin(truth, self.ignore_class)
        found = [
            self._boundary(np.where(ignored, self.classes, mask), distance)
            for mask in (truth, predicted)
        ]
        both = found[0][found[0] == found[1]]
        counts = [np.bincount(mask.ravel(), minlength=self.classes + 1) for mask in (*found, both)]
        of_truth, of_predicted, overlap = (x[: self.classes] for x in counts)
        self.intersection += overlap
        self.union += of_truth + of_predicted - overlap

    def per_class(self) -> np.ndarray:
        """Returns boundary IoU per class, NaN for classes in neither masks nor predictions."""
        empty = np.full(self.classes, np.nan)
        return np.divide(self.intersection, self.union, out=empty, where=self.union > 0)

    def _boundary(self, mask, distance):
        """Returns the class ids on boundaries, elsewhere the number of classes."""
        window = {"size": 2 * distance + 1, "mode": "constant", "cval": -1}
        mask = mask.astype("int32")
        lowest, highest = (
            f(mask, **window) for f in (ndimage.minimum_filter, ndimage.maximum_filter)
        )
        return np.where(lowest == highest, self.classes, mask)
