"""The check of a whole folder data set: every file of every split, as a report for people."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.configs.folder import FolderEncNet50, automatic_sizes, describe_sizes
from training.input.folder import Split, overlap_problem, read_classes, read_split, summarize
from training.input.folder_check import check_split
from training.input.pixels import pixels_of
from training.input.report import Report
from training.input.split_lists import part, split_names, unlisted_stems

# The share of the training images that validates if there are no other images for it.
VAL_SHARE = 0.2


@dataclasses.dataclass
class FolderCheck:
    """What the check of a folder data set has found.

    Attributes:
        folder: Path of the data set.
        reports: Dict from the names of the splits to their `Report`, training splits first.
        problems: Sentences, why splits cannot be used for training.
        notes: Sentences about the data that do not prevent a training run.
        command: List of strings, the command that trains `folder_encnet50` on these data.
        plan: Sentences about this training: sizes and steps.
        failed: Names of the splits that cannot be used for training.
    """

    folder: Path
    reports: dict[str, Report] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    command: list[str] = dataclasses.field(default_factory=list)
    plan: list[str] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)

    @property
    def training(self) -> Report | None:
        """The report of the training split, or None if it has no image that can be used."""
        reports = (report for name, report in self.reports.items() if name.startswith("train"))
        return next((report for report in reports if len(report.sizes)), None)

    def note(self, text: str) -> None:
        """Prints and records a sentence."""
        print(text)
        self.notes.append(text)

    def fail(self, split: str, text: str) -> None:
        """Prints and records why a split cannot be used."""
        print(text)
        self.problems.append(text)
        if split not in self.failed:
            self.failed.append(split)


def check_folder(
    folder: Path,
    splits: Sequence[str] = (),
    ignore_class: Sequence[int] = (255,),
    map_labels: Sequence[str] = (),
    allow_absent_classes: bool = False,
    skip_bad: bool = False,
) -> FolderCheck:
    """Checks every image and every mask of a folder data set, and prints what it finds.

    Args:
        folder: Folder of the data set.
        splits: Splits to check; all by default.
        ignore_class: Ignored labels.
        map_labels: Labels in the masks and those that replace them, such as `255:1`.
        allow_absent_classes: Accept classes without a pixel in splits whose name starts with
            `train`.
        skip_bad: Accept splits of which some images cannot be used.

    Returns:
        A `FolderCheck`.
    """
    check = FolderCheck(Path(folder))
    try:
        read_classes(folder)
    except (OSError, ValueError) as error:  # the same for all splits
        check.fail("train", str(error))
        return check
    found = split_names(folder)
    opened: dict[str, Split] = {}
    for name in splits or sorted(found, key=_training_first) or ("train",):
        try:
            opened[name] = read_split(folder, name, map_labels)
        except (OSError, ValueError) as error:
            check.fail(name, str(error))
    for name, split in _with_pixels(check, opened).items():
        try:
            report = check_split(split, ignore_class)
        except (OSError, ValueError) as error:
            check.fail(name, str(error))
            continue
        check.reports[name] = report
        print(report)
        for stem, message in report.problems:
            print(f"  {stem}: {message}")
        if report.problems and not skip_bad:
            check.fail(name, f"  {len(report.bad_stems)} images of {name} cannot be used.")
        every_class = name.startswith("train") and not allow_absent_classes
        for message in report.split_problems(every_class):
            check.fail(name, f"  {message}")
        _describe_contents(check, report)
    check.command = [*"python -m training.train folder_encnet50 --data".split(), str(folder)]
    check.command += _options(ignore_class, map_labels, allow_absent_classes, skip_bad)
    stems = None
    if "train" in check.reports and "val" not in found:
        stems = _held_in(check, map_labels, allow_absent_classes)
    if check.training is not None:
        _plan(check, check.training, stems)
    if not splits:
        _compare_lists(check, found)
    _compare_splits(check)
    return check


def _with_pixels(check, splits):
    """Returns splits whose images are decoded in the same way, with as many channels as all have.

    Without such a number, no split can be used.
    """
    try:
        pixels = pixels_of([path for split in splits.values() for path in split.image_paths])
    except ValueError as error:
        for name in splits:
            check.fail(name, str(error))
        return {}
    return {name: dataclasses.replace(split, pixels=pixels) for name, split in splits.items()}


def _training_first(name):
    return not name.startswith("train"), name


def _held_in(check, map_labels, allow_absent_classes):
    """Returns the stems that remain for training if others are held out for validation."""
    report = check.reports["train"]
    if len(report.split) < 2:
        check.note("There is neither a list `val.txt` nor a second image: validate on the first.")
        check.command += ["--val-split", "train"]
        return report.split.stems
    check.note("There is no list `val.txt`: validate on a part of the training images.")
    check.command += ["--val-share", str(VAL_SHARE)]
    stems = read_split(check.folder, part("train", -VAL_SHARE), map_labels).stems
    absent = report.presence.any(0) & ~report.presence[_rows(report, stems)].any(0)
    if absent.any() and not allow_absent_classes:
        names = (report.split.class_names[i] for i in np.flatnonzero(absent))
        check.note(
            f"{absent.sum()} classes have no pixel in the images that remain for training: "
            f"{summarize(names)}. Write the images to validate on to `val.txt`, such that each "
            "class is in other images as well."
        )
    return stems


def _rows(report, stems):
    """Returns which rows of the arrays of a report belong to these stems."""
    kept = set(stems)
    return np.array([stem in kept for stem in report.good_stems], bool)


def _plan(check, report, stems=None):
    """Adds the sizes and steps that a run on these images, by default all, would choose."""
    config = FolderEncNet50(data=str(check.folder))
    sizes = report.sizes if stems is None else report.sizes[_rows(report, stems)]
    if not len(sizes):  # only bad images remain for training, which has been reported
        sizes = report.sizes
    chosen = describe_sizes(**automatic_sizes(config, sizes))
    check.plan = [chosen, *config.describe_steps(len(sizes)).splitlines()]
    print("Command for a training run:", shlex.join(check.command), *check.plan, sep="\n  ")


def _options(ignore_class, map_labels, allow_absent_classes, skip_bad):
    """Returns the options of a training run that reads the data as the check has."""
    options = ["--ignore-class", *map(str, ignore_class)] if tuple(ignore_class) != (255,) else []
    options += ["--map-labels", *map_labels] if map_labels else []
    options += ["--allow-absent-classes"] * allow_absent_classes
    return options + ["--skip-bad"] * skip_bad


def _describe_contents(check, report):
    name, unlabeled = report.split.name, report.unlabeled_stems
    if unlabeled and len(unlabeled) < len(report.sizes):
        check.note(
            f"{len(unlabeled)} images of {name} have ignored labels only: {summarize(unlabeled)}."
        )


def _compare_lists(check, found):
    """Notes images that no list names."""
    listed = [stem for report in check.reports.values() for stem in report.split.stems]
    unlisted = unlisted_stems(check.folder / "images", listed)
    if unlisted and set(check.reports) >= set(found):
        check.note(f"{len(unlisted)} images are in no list: {summarize(unlisted)}.")


def _compare_splits(check):
    """Notes classes that a split lacks, and fails splits that only contain training images."""
    train = check.reports.get("train")  # not `trainval`, which may contain `val`
    for name in ("val", "test"):
        held_out = check.reports.get(name)
        if train is None or held_out is None:
            continue
        absent = [c for c in held_out.absent_classes if c not in train.absent_classes]
        if absent:
            check.note(
                f"{len(absent)} classes have no pixel in {name}, so scores do not measure how well "
                f"they are recognized: {summarize(absent)}."
            )
        if problem := overlap_problem(train.split, held_out.split):
            if set(held_out.split.stems) <= set(train.split.stems):
                check.fail(name, problem)
            else:
                check.note(problem)
