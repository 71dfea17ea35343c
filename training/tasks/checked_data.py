"""What a check of a data set ends with: its page, and the exit status."""

import sys
from pathlib import Path

from training.figures.data_page import save_data_page
from training.input.data_check import FolderCheck


def finish_check(check: FolderCheck, path: Path | None = None) -> None:
    """Writes the page of a checked data set, and exits with status 1 if it cannot be used.

    Args:
        check: what the check has found.
        path: the HTML file, or a folder for `check_data.html`; by default that of the data set.
    """
    path = path or check.folder
    path = path / "check_data.html" if path.is_dir() else path
    try:
        if check.reports:
            save_data_page(path, check)
            print(f"Page with a sample of the images: {path}")
    except OSError as error:  # such as a folder without write permission
        print(
            f"The page was not written, pass `--page FILE.html`: {error.strerror}. "
            f"Received: page={str(path)!r}",
            file=sys.stderr,
        )
    if check.failed:
        sys.exit(f"Cannot be used for training: {', '.join(sorted(check.failed))}")
