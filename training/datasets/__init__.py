"""The data sets, all in the layout of `training.input.folder`."""

from pathlib import Path

from training.datasets import scenes
from training.input import folder

SCENES_ROOT = Path("runs/data/scenes")


def open_split(data, name):
    """Opens a split of a folder data set, or of scenes, which is generated at its first use.

    Args:
        data: path of the folder, or `"scenes"`.
        name: such as `"train"` or `"train+val"`.

    Returns:
        A `folder.Split`.
    """
    if data == "scenes" and not Path(data).exists():
        data = scenes.write(SCENES_ROOT)
    return folder.read_split(data, name)
