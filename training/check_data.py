"""Check every file of a folder data set before training.

    python -m training.check_data FOLDER
    python -m training.check_data FOLDER --splits train val --ignore-class 0 255

Prints the image sizes, the share of each class, the steps of a training run, and every problem with
the name of its image, and writes `check_data.html` to the folder, a page with the same, class
weights, and a sample of images with their masks. The exit status is 1 if there are problems, 0
otherwise.
"""

from pathlib import Path

from training import cli
from training.input.data_check import check_folder
from training.tasks.checked_data import finish_check


def main(
    folder: Path,
    splits: tuple[str, ...] = (),
    ignore_class: tuple[int, ...] = (255,),
    map_labels: tuple[str, ...] = (),
    allow_absent_classes: bool = False,
    skip_bad: bool = False,
    page: Path | None = None,
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
        page: HTML file to write, or a folder for `check_data.html`; by default `folder`.
    """
    check = check_folder(folder, splits, ignore_class, map_labels, allow_absent_classes, skip_bad)
    finish_check(check, page)


if __name__ == "__main__":
    cli.run(main)
