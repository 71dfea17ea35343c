"""Trains PASCAL VOC 2012 in the paper's order, each stage from the last model of the one before.

    python -m training.finetune voc2012_encnet101 --data data/voc2012 [--coco data/coco_voc]

From COCO if it is given, then from `trainaug`, then from VOC's own `train`. After an interruption
the same command goes on.
"""

import dataclasses
from pathlib import Path
from typing import Literal

from training import cli
from training.configs import voc2012
from training.configs.config import Precision
from training.run import run_folder
from training.run.fit import train

# The recipes of each order.
ORDERS = {
    "voc2012_encnet101": {
        "coco": voc2012.VOC2012EncNet101COCO,
        "trainaug": voc2012.VOC2012EncNet101Aug,
        "train": voc2012.VOC2012EncNet101,
    },
    "voc2012_encnet101_official": {
        "coco": voc2012.VOC2012EncNet101COCOOfficial,
        "trainaug": voc2012.VOC2012EncNet101AugOfficial,
        "train": voc2012.VOC2012EncNet101Official,
    },
}


def main(
    order: Literal["voc2012_encnet101", "voc2012_encnet101_official"],
    data: str = "data/voc2012",
    coco: str | None = None,
    start_from: str | None = None,
    backbone_weights: str | None = "imagenet",
    run_dir: Path | None = None,
    batch_size: int = 16,
    precision: Precision = "float32",
):
    """Trains PASCAL VOC 2012 in the paper's order.

    Args:
        order: the recipes of the stages: the paper's or the released code's.
        data: the folder of VOC 2012.
        coco: that of COCO as VOC; without it, `trainaug` is the first stage.
        start_from: a `.keras` file that the first stage starts from, such as a
            converted ResNet; the released code's structure needs one.
        backbone_weights: of the first stage otherwise.
        run_dir: of the stages' folders; `runs/ORDER` by default.
        batch_size: of all stages.
        precision: likewise.
    """
    folders = {"coco": coco, "trainaug": data, "train": data}
    stages = {name: recipe for name, recipe in ORDERS[order].items() if folders[name] is not None}
    shared = {"batch_size": batch_size, "precision": precision}
    first = {
        "start_from": start_from,
        "backbone_weights": None if start_from else backbone_weights,
    }
    if order.endswith("official") and start_from is None:
        raise ValueError(
            "The structure of the released code starts from its own ResNet: convert it with "
            "`python -m keras_encnet.pytorch.convert`, and give it with `--start-from`. "
            f"Received: order={order!r}, start_from=None"
        )
    finetune(
        {name: recipe(data=folders[name], **shared, **first) for name, recipe in stages.items()},
        run_dir or Path("runs") / order,
    )


def finetune(stages, run_dir):
    """Trains one configuration after the other, each from the last model of the one before.

    Args:
        stages: dict from names to `SegmentationConfig`; the first starts as it
            says.
        run_dir: Path of the folder; a stage's is `1_<name>` and so on within.

    Returns:
        The path of the last model.
    """
    model = None
    for number, (name, config) in enumerate(stages.items(), start=1):
        folder = run_dir / f"{number}_{name}"
        if model is not None:
            config = dataclasses.replace(config, start_from=str(model), backbone_weights=None)
        model = folder / "last.keras"
        if run_folder.is_finished(folder, config):
            print(f"{folder} is finished")
        else:
            print(f"\n{name}", flush=True)
            train(config, folder)
    return model


if __name__ == "__main__":
    cli.run(main)
