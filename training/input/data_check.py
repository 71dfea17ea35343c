"""The check of a whole folder data set: every file of every split, as a report for people."""

from collections.abc import Sequence
from pathlib import Path

from training.configs.folder import FolderEncNet50, automatic_sizes, describe_sizes
from training.input.folder import read_split, split_names
from training.input.folder_check import check_split


def check_folder(
    folder: Path,
    splits: Sequence[str] = (),
    ignore_class: Sequence[int] = (255,),
    map_labels: Sequence[str] = (),
    allow_absent_classes: bool = False,
    skip_bad: bool = False,
) -> list[str]:
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
        The names of the splits that cannot be used for training.
    """
    failed = []
    for name in splits or split_names(folder) or ("train",):
        try:
            report = check_split(read_split(folder, name, map_labels), ignore_class)
            every_class = name.startswith("train") and not allow_absent_classes
            print(report)
            for stem, message in report.problems:
                print(f"  {stem}: {message}")
            if name.startswith("train") and len(report.sizes):
                sizes = automatic_sizes(FolderEncNet50(data=str(folder)), report.sizes)
                print(f"  folder recipes: {describe_sizes(**sizes)}")
            split_problems = report.split_problems(every_class)
            for message in split_problems:
                print(f"  {message}")
            if split_problems or (report.problems and not skip_bad):
                failed.append(name)
        except (FileNotFoundError, ValueError) as error:
            print(error)
            failed.append(name)
    return failed
