"""The segmentation data sets that `--data` names: a folder, or the generated scenes."""

import os
from collections.abc import Sequence
from pathlib import Path

from training.datasets import scenes
from training.input.folder import Split, read_split

SCENES_ROOT = Path("runs/data/scenes")


def open_split(data: str | os.PathLike, name: str, map_labels: Sequence[str] = ()) -> Split:
    """Opens one split of a segmentation data set.

    Args:
        data: Path of a folder data set, or `"scenes"`, which is generated on first use.
        name: Name of the split, such as `"train"` or `"train+val"`.
        map_labels: As of `read_split`.

    Returns:
        A `training.input.folder.Split`.
    """
    if data == "scenes" and not Path(data).exists():
        data = scenes.write(SCENES_ROOT)
    return read_split(data, name, map_labels)
