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
    skip_bad: bool = False,
) -> None:
    """Check every image and every mask of a folder data set.

    Args:
        folder: Folder with `images/`, `labels/`, `classes.txt`, and a list of stems per split.
        splits: Splits to check; all by default.
        ignore_class: Labels ignored in loss and metrics.
        skip_bad: Fail only if a split has no valid image, like training with `--skip-bad`.
    """
    failed = []
    for name in splits or split_names(folder) or ("train",):
        try:
            split = read_split(folder, name)
            report = check_split(split, ignore_class)
            print(report)
            for stem, message in report.problems:
                print(f"  {stem}: {message}")
            if skip_bad:
                split.without(report.bad_stems)
            elif report.problems:
                failed.append(name)
        except (FileNotFoundError, ValueError) as error:
            print(error)
            failed.append(name)
    if failed:
        sys.exit(f"Cannot be used for training: {', '.join(failed)}")


if __name__ == "__main__":
    cli.run(main)
