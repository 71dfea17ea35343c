"""Train PASCAL VOC 2012 in the stages of the paper.

    python -m training.finetune voc2012_encnet101 --data data/voc2012 [--coco data/coco_voc]

The stages are COCO if it is given, `trainaug`, and VOC's own `train`; each starts from the last
model of the previous one. Rerun the same command to resume.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from training import cli
from training.configs import SegmentationConfig, voc2012
from training.configs.config import Precision
from training.run.fit import is_finished, train

# The recipes of the stages.
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
    order: Literal[tuple(ORDERS)],  # type: ignore[valid-type]
    data: str = "data/voc2012",
    coco: str | None = None,
    start_from: str | None = None,
    backbone_weights: str | None = "imagenet",
    run_dir: Path | None = None,
    batch_size: int = 16,
    precision: Precision = "float32",
) -> None:
    """Train PASCAL VOC 2012 in the stages of the paper.

    Args:
        order: Recipes of the stages: those of the paper or of the official code.
        data: Folder of VOC 2012.
        coco: Folder of COCO with the classes of VOC. Without it, `trainaug` is the first stage.
        start_from: A `.keras` file that the first stage starts from, such as a converted ResNet;
            required for the structure of the official code.
        backbone_weights: Weights of the backbone in the first stage without `--start-from`.
        run_dir: Folder of the run folders. By default `runs/ORDER`.
        batch_size: Images per step in all stages.
        precision: Precision of the computation in all stages.
    """
    if order.endswith("official") and start_from is None:
        raise ValueError(
            "The structure of the official code starts from its own ResNet: convert it with "
            "`python -m keras_encnet.pytorch.convert` and pass the result as `--start-from`. "
            f"Received: order={order!r}, start_from=None"
        )
    folders = {"coco": coco, "trainaug": data, "train": data}
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "precision": precision,
        "start_from": start_from,
        "backbone_weights": None if start_from else backbone_weights,
    }
    stages = {
        stage: recipe(data=folder, **options)
        for stage, recipe in ORDERS[order].items()
        if (folder := folders[stage]) is not None
    }
    finetune(stages, run_dir or Path("runs") / order)


def finetune(stages: Mapping[str, SegmentationConfig], run_dir: Path) -> Path:
    """Trains recipes one after the other, each starting from the last model of the previous.

    Args:
        stages: recipes by name; the first starts as it specifies.
        run_dir: parent of the run folders `1_<name>`, `2_<name>` and so on.

    Returns:
        The path of the last model.
    """
    previous: dict[str, Any] = {}
    for number, (name, config) in enumerate(stages.items(), start=1):
        config = dataclasses.replace(config, **previous)
        folder = run_dir / f"{number}_{name}"
        model = folder / "last.keras"
        if is_finished(config, folder):
            print(f"{folder} is finished")
        else:
            print(f"\n{name}", flush=True)
            train(config, folder)
        previous = {"start_from": str(model), "backbone_weights": None}
    return model


if __name__ == "__main__":
    cli.run(main)
