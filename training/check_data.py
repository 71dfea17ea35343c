"""Check every file of a folder data set before training.

    python -m training.check_data FOLDER
    python -m training.check_data FOLDER --splits train val --ignore-class 0 255

Prints the image sizes, the share of each class, and every problem with the name of its image. The
exit status is 1 if there are problems, 0 otherwise.
"""

import sys
from pathlib import Path

from training import cli
from training.input.folder import read_split, split_names
from training.input.folder_check import check_split


def main(
    folder: Path,
    splits: tuple[str, ...] = (),
    ignore_class: tuple[int, ...] = (255,),
    map_labels: tuple[str, ...] = (),
    allow_absent_classes: bool = False,
    skip_bad: bool = False,
) -> None:
    """Check every image and every mask of a folder data set.

    Args:
        folder: Folder with `images/`, `labels/`, `classes.txt`, and a list of stems per split.
        splits: Splits to check; all by default.
        ignore_class: Labels ignored in loss and metrics.
        map_labels: Labels in the masks and those that replace them; `255:1` for masks of 0 and 255.
        allow_absent_classes: Accept classes without a pixel in splits whose name starts with
            `train`.
        skip_bad: Fail only if a split has no valid image, like training with `--skip-bad`.
    """
    failed = []
    for name in splits or split_names(folder) or ("train",):
        try:
            report = check_split(read_split(folder, name, map_labels), ignore_class)
            every_class = name.startswith("train") and not allow_absent_classes
            print(report)
            for stem, message in report.problems:
                print(f"  {stem}: {message}")
            split_problems = report.split_problems(every_class)
            for message in split_problems:
                print(f"  {message}")
            if split_problems or (report.problems and not skip_bad):
                failed.append(name)
        except (FileNotFoundError, ValueError) as error:
            print(error)
            failed.append(name)
    if failed:
        sys.exit(f"Cannot be used for training: {', '.join(failed)}")


if __name__ == "__main__":
    cli.run(main)
