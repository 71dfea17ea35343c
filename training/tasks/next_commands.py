"""The commands that follow a training run."""

import shlex
from pathlib import Path

from training.configs import ClassificationConfig, SegmentationConfig
from training.datasets.segmentation_data import open_split
from training.input.split_lists import held_out


def next_commands(config: SegmentationConfig | ClassificationConfig, run_dir: Path) -> list[str]:
    """Returns commands that evaluate a run and apply its model.

    Args:
        config: the recipe of the run.
        run_dir: path of the run folder.
    """
    evaluate = ["python", "-m", "training.evaluate", str(run_dir)]
    if isinstance(config, ClassificationConfig):
        export = ["python", "-m", "saved_models.export", str(run_dir), "--name", run_dir.name]
        return [shlex.join(evaluate), shlex.join(export)]
    try:
        split = open_split(config.data, "test", config.map_labels)
    except (OSError, ValueError):  # a data set need not have images that are kept for the end
        _, name = held_out(config.train_split, config.val_split, config.val_share)
        split = open_split(config.data, name, config.map_labels)
    predict = ["python", "-m", "training.predict", str(run_dir), str(split.image_paths[0])]
    return [
        shlex.join([*evaluate, "--split", split.name]),
        shlex.join([*predict, "--output", str(run_dir / "predictions")]),
    ]
