"""What the check of a split has found: its contents, and the problems of images and labels."""

from __future__ import annotations

import dataclasses

import numpy as np

from training.input.folder import Split, summarize
from training.input.pixels import AS_RGB, RGBA, Pixels
from training.input.statistics import Moments, describe_statistics

# Label of the object in masks of many tools for two classes, and the usual ignored label.
WHITE = 255
IMPORT = "python -m training.import_data FOLDER OUTPUT"


@dataclasses.dataclass(frozen=True)
class Report:
    """The contents of a split. Images with a problem are not counted.

    Attributes:
        split: The `Split` that was checked.
        problems: Tuple of pairs, the stem of an image and a description of its problem.
        pixel_counts: Integers of shape `(classes,)`: labeled pixels per class.
        presence: Booleans of shape `(images, classes)`: whether an image contains a class.
        image_pixel_counts: Integers of shape `(classes,)`: labeled pixels of these images.
        ignored_pixels: Integer, the number of pixels with an ignored label.
        labels: Tuple of integers, the labels that occur, ignored ones included.
        sizes: Integers of shape `(images, 2)`: heights and widths.
        moments: Moments of the pixels per channel; None without images.
    """

    split: Split
    problems: tuple[tuple[str, str], ...]
    pixel_counts: np.ndarray
    presence: np.ndarray
    image_pixel_counts: np.ndarray
    ignored_pixels: int
    labels: tuple[int, ...]
    sizes: np.ndarray
    moments: Moments | None = None

    @property
    def presence_counts(self) -> np.ndarray:
        """Integers of shape `(classes,)`: the number of images that contain each class."""
        return self.presence.sum(0)

    @property
    def good_stems(self) -> tuple[str, ...]:
        """The stems of the images without a problem, in the order of `sizes` and `presence`."""
        bad = set(self.bad_stems)
        return tuple(stem for stem in self.split.stems if stem not in bad)

    @property
    def unlabeled_stems(self) -> tuple[str, ...]:
        """The stems of the images whose masks have ignored labels only."""
        stems = self.good_stems
        return tuple(stems[i] for i in np.flatnonzero(~self.presence.any(axis=1)))

    @property
    def pixels(self) -> Pixels:
        """How the images are to be decoded: as RGB, if the alpha channel of all has one value."""
        pixels, moments = self.split.pixels, self.moments
        has_alpha = pixels.channels == RGBA and not pixels.arrays
        return AS_RGB if has_alpha and moments is not None and moments.std[-1] == 0 else pixels

    @property
    def absent_classes(self) -> list[str]:
        """The names of the classes without a pixel in the split."""
        return [self.split.class_names[i] for i in np.flatnonzero(self.pixel_counts == 0)]

    @property
    def bad_stems(self) -> tuple[str, ...]:
        """The stems of the images with a problem, as `Split.without` takes them."""
        return tuple(dict.fromkeys(stem for stem, _ in self.problems))

    def raise_if_bad(self) -> None:
        """Raises a `ValueError` that lists the first problems, if there are any."""
        if self.problems:
            lines = [f"  {stem}: {message}" for stem, message in self.problems[:10]]
            if len(self.problems) > 10:
                lines.append(f"  and {len(self.problems) - 10} more")
            raise ValueError(
                f"{len(self.bad_stems)} of the {len(self.split)} images cannot be used:\n"
                + "\n".join(lines)
                + "\nFix them, or pass `--skip-bad` to leave these images out. "
                f"Received: split={self.split.name!r} of {self.split.root}"
            )

    def split_problems(self, every_class: bool = False) -> list[str]:
        """Returns what is wrong with the labels of the split as a whole, as sentences.

        Args:
            every_class: Whether every class must have a pixel, as for training.
        """
        if not len(self.sizes):
            return ["No image of the split can be used."]
        labels = summarize(map(str, self.labels))
        if self.labels == (0, WHITE) and WHITE not in dict(self.split.label_map):
            return [
                f"The masks hold only 0 and {WHITE}. If {WHITE} marks the object, as in masks of "
                f"two classes from many tools, pass `--map-labels {WHITE}:1`, or convert the "
                f"masks with `{IMPORT}`; now these pixels are ignored. If they should be, pass "
                f"`--map-labels {WHITE}:{WHITE}`."
            ]
        if not self.pixel_counts.any():
            return [
                "No pixel of the split has a class: its masks hold only ignored labels. Correct "
                "the masks, or map labels to classes with `--map-labels`. "
                f"Received: labels {labels}"
            ]
        if every_class and (absent := self.absent_classes):
            return [
                f"{len(absent)} of the {len(self.pixel_counts)} classes have no pixel in the "
                f"split and cannot be learned: {summarize(absent)}. Correct `classes.txt` or the "
                f"masks, map labels with `--map-labels`, or pass `--allow-absent-classes`."
                f"{self._likely_cause()} Received: labels {labels}"
            ]
        return []

    def _likely_cause(self) -> str:
        """Returns what may be wrong if only the first or the last class has no pixel."""
        absent = np.flatnonzero(self.pixel_counts == 0).tolist()
        if absent == [0]:
            return f" If the ids in the masks start from 1, `{IMPORT}` shifts them."
        if absent == [len(self.pixel_counts) - 1]:
            return " `classes.txt` may have one name too many."
        return ""

    def raise_if_unusable(self, every_class: bool = False) -> None:
        """Raises a `ValueError` with the problems of the split as a whole, if there are any."""
        for problem in self.split_problems(every_class):
            raise ValueError(f"{problem} (split {self.split.name!r} of {self.split.root})")

    def __str__(self) -> str:
        """Image sizes and class frequencies, as a table."""
        good = len(self.sizes)
        lines = [f"{self.split.name}: {len(self.split)} images, {len(self.bad_stems)} of them bad"]
        if not good:
            return lines[0]
        for axis, name in enumerate(("height", "width")):
            smallest, median, largest = np.percentile(self.sizes[:, axis], (0, 50, 100))
            lines.append(f"  {name}: {smallest:g} to {largest:g} pixels, median {median:g}")
        if self.moments is not None:
            found = describe_statistics(self.moments, self.pixels.channels)
            lines += [f"  {self.pixels}", f"  {found}"]
        labeled = self.pixel_counts.sum()
        ignored = self.ignored_pixels / (self.ignored_pixels + labeled)
        lines.append(f"  ignored: {ignored:.2%} of all pixels")
        lines.append(f"  {'id':>5}  {'of labeled pixels':>18}  {'in images':>18}  class")
        for i, name in enumerate(self.split.class_names):
            pixels = self.pixel_counts[i] / max(labeled, 1)
            images = self.presence_counts[i]
            lines.append(f"  {i:>5}  {pixels:>18.2%}  {images:>9} {images / good:>8.1%}  {name}")
        return "\n".join(lines)
