"""The check of a whole folder data set: every file of every split, as a report for people."""

from collections.abc import Sequence
from pathlib import Path

from training.configs.folder import FolderEncNet50, automatic_sizes, describe_sizes
from training.input.folder import Split, overlap_problem, read_split
from training.input.folder_check import check_split
from training.input.split_lists import split_names


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
    failed: list[str] = []
    opened: dict[str, Split] = {}
    found = split_names(folder)
    if not splits and "train" in found and "val" not in found:
        print("There is no `val.txt`; pass `--val-share 0.2` to training, or write one.")
    for name in splits or found or ("train",):
        try:
            opened[name] = read_split(folder, name, map_labels)
            report = check_split(opened[name], ignore_class)
            every_class = name.startswith("train") and not allow_absent_classes
            print(report)
            for stem, message in report.problems:
                print(f"  {stem}: {message}")
            if name.startswith("train") and len(report.sizes):
                config = FolderEncNet50(data=str(folder))
                sizes = describe_sizes(**automatic_sizes(config, report.sizes))
                print(f"  folder recipes: {sizes}")
                print("  " + config.describe_steps(len(report.sizes)).replace("\n", "\n  "))
            split_problems = report.split_problems(every_class)
            for message in split_problems:
                print(f"  {message}")
            if split_problems or (report.problems and not skip_bad):
                failed.append(name)
        except (FileNotFoundError, ValueError) as error:
            print(error)
            failed.append(name)
    return failed + _overlapping(opened)


def _overlapping(splits):
    """Prints which splits contain training images; returns those that contain no others."""
    train = splits.get("train")
    held_out = [splits[name] for name in ("val", "test") if name in splits and train is not None]
    for split in held_out:
        if problem := overlap_problem(train, split):
            print(problem)
    return [split.name for split in held_out if set(split.stems) <= set(train.stems)]
